"""Handwritten digits, recognized over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from cdk_inference import ApiAuth, InferenceModel, MLInferenceFunction, Packaging

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"


class DigitsStack(Stack):
    """The digits model behind a public HTTP API: ``POST /predict`` with 64 pixels from 0 to 16.

    A zip, so that deploying it needs no Docker; public, because it is a demonstration.

    Example:
        >>> DigitsStack(cdk.App(), "DigitsStack")
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
        digits.add_http_api("/predict", auth=ApiAuth.public())
