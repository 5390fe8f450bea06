"""The digits model, measured at several memory sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from cdk_inference import InferenceModel, MLInferenceFunction, Packaging, PowerTuning

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_DIGITS: Final = Path(__file__).parents[1] / "models" / "digits"


class PowerTuningStack(Stack):
    """A function, and AWS Lambda Power Tuning to find its memory size with a digit.

    Example:
        >>> PowerTuningStack(cdk.App(), "PowerTuningStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        function = MLInferenceFunction(
            self,
            "Digits",
            model=InferenceModel.from_file(_DIGITS / "digits.onnx"),
            packaging=Packaging.ZIP,
        )
        sample = json.loads((_DIGITS / "samples.json").read_text())[0]
        PowerTuning(self, "Tuning", function=function, payload={"features": sample["pixels"]})
