"""The digits model behind a REST API with keys, and twice behind one API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Size, Stack
from cdk_inference import (
    InferenceModel,
    MLInferenceFunction,
    MultiModelApi,
    MultiModelRestApi,
    Packaging,
    ServedModel,
    UsagePlan,
    WarmStrategy,
)

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"


class RestApiStack(Stack):
    """For callers that sign their requests and have an API key, each with a quota.

    Example:
        >>> RestApiStack(cdk.App(), "RestApiStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        digits = MLInferenceFunction(
            self,
            "Digits",
            model=InferenceModel.from_file(_MODEL),
            packaging=Packaging.ZIP,
        )
        digits.add_rest_api(
            usage_plans=[
                UsagePlan("Partners", rate_limit=10, burst_limit=20, quota=100_000, keys=["Acme"])
            ],
        )


class MultiModelStack(Stack):
    """One API, two models, each with the memory and the start that suits it.

    Example:
        >>> MultiModelStack(cdk.App(), "MultiModelStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        MultiModelApi(self, "Models", models=_models())


class MultiModelRestStack(Stack):
    """The same behind a REST API, which refuses what does not fit a model before it runs.

    Example:
        >>> MultiModelRestStack(cdk.App(), "MultiModelRestStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        MultiModelRestApi(self, "Models", models=_models())


def _models() -> dict[str, ServedModel]:
    digits = InferenceModel.from_file(_MODEL)
    return {
        "digits": ServedModel(digits, packaging=Packaging.ZIP),
        "digits-restored": ServedModel(
            digits,
            packaging=Packaging.ZIP,
            memory_size=Size.mebibytes(1024),
            warm_strategy=WarmStrategy.snap_start(),
        ),
    }
