"""The digits model, with a limit to what it may cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from cdk_inference import (
    AlertTopic,
    InferenceBudget,
    InferenceModel,
    MLInferenceFunction,
    Packaging,
)

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"


class BudgetedStack(Stack):
    """A function whose costs are told of at 50, 80 and 100 % of $20 a month.

    Example:
        >>> BudgetedStack(cdk.App(), "BudgetedStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self, "Budget")
        function = MLInferenceFunction(
            self, "Digits", model=InferenceModel.from_file(_MODEL), packaging=Packaging.ZIP
        )
        alerts = AlertTopic(self, "Alerts")
        InferenceBudget(self, "Budget", monthly_limit=20, of=[function], topic=alerts.topic)
