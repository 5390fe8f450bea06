"""The digits model at a URL of its own, without an API in front."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from cdk_inference import ApiAuth, InferenceModel, MLInferenceFunction, Packaging

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"


class FunctionUrlStack(Stack):
    """``POST predict`` for anyone, ten at a time at most.

    Public, because it is a demonstration; a function URL has no other bound than concurrency.

    Example:
        >>> FunctionUrlStack(cdk.App(), "FunctionUrlStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self, "ConcurrencyLimit")
        digits = MLInferenceFunction(
            self,
            "Addressed",
            model=InferenceModel.from_file(_MODEL),
            packaging=Packaging.ZIP,
            reserved_concurrency=10,
        )
        digits.add_function_url(auth=ApiAuth.public())
