"""The digits model, watched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from cdk_inference import (
    AlertTopic,
    InferenceModel,
    InferenceMonitoring,
    MLInferenceFunction,
    Packaging,
    Tracing,
)

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"


class MonitoredStack(Stack):
    """A function with dashboard, alarms, queries, metrics and traces of its own, and an agent.

    Example:
        >>> MonitoredStack(cdk.App(), "MonitoredStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self, "Alarms", "Dashboard")
        function = MLInferenceFunction(
            self,
            "Digits",
            model=InferenceModel.from_file(_MODEL),
            packaging=Packaging.ZIP,
            environment={"INFERENCE_METRICS": "emf"},
            tracing=Tracing.ADOT,
            lambda_insights=True,
        )
        alerts = AlertTopic(self, "Alerts")
        InferenceMonitoring(self, "Monitoring", function=function, topic=alerts.topic, emf=True)
