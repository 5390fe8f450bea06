"""The digits model, whose next version gets its traffic with care."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Duration, Stack
from cdk_inference import (
    ABRouting,
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


class ABRoutingStack(Stack):
    """Two versions of the model for the same callers, once the first is there.

    The first deployment publishes version 1. With the context value ``baseline``, as in ``cdk
    deploy ABRoutingStack --context baseline=1``, the next publishes another version of the model,
    and a fifth of the requests go to it.

    Example:
        >>> ABRoutingStack(cdk.App(context={"baseline": "1"}), "ABRoutingStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        baseline = self.node.try_get_context("baseline")
        digits = MLInferenceFunction(
            self,
            "Compared",
            model=InferenceModel.from_file(
                _DIGITS / "digits.onnx", version="candidate" if baseline else "baseline"
            ),
            packaging=Packaging.ZIP,
            retain_versions=True,
        )
        if baseline:
            ABRouting(self, "AB", function=digits, baseline_version=baseline, candidate_weight=0.2)
