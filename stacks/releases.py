"""The digits model, whose next version gets its traffic with care."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Duration, Stack
from cdk_inference import (
    GradualRelease,
    InferenceModel,
    MLInferenceFunction,
    Packaging,
    SmokeTest,
)

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_DIGITS: Final = Path(__file__).parents[1] / "models" / "digits"


class GradualReleaseStack(Stack):
    """A new version reads three digits, then gets a tenth of the traffic more every minute.

    Example:
        >>> GradualReleaseStack(cdk.App(), "GradualReleaseStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self, "Release")
        digits = MLInferenceFunction(
            self,
            "Released",
            model=InferenceModel.from_file(_DIGITS / "digits.onnx"),
            packaging=Packaging.ZIP,
        )
        samples = json.loads((_DIGITS / "samples.json").read_text())[:3]
        GradualRelease(
            self,
            "Release",
            function=digits,
            smoke_tests=[
                SmokeTest(
                    {"features": sample["pixels"]}, {"predictions": {"label": sample["label"]}}
                )
                for sample in samples
            ],
            max_latency=Duration.millis(200),
        )
