"""Whether a function has the onnxruntime and the processor that its model was optimised for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from cdk_inference.aws.warnings import warn
from cdk_inference.contract import MANIFEST_FILE
from cdk_inference.model import InferenceModel
from cdk_inference.runtime_files import packaged_onnxruntime

if TYPE_CHECKING:
    from cdk_inference.aws.ml_inference_function import MLInferenceFunction

# Lambda's architectures, as a manifest names processors.
_MACHINES: Final = {"x86_64": "x86_64", "arm64": "aarch64"}


def warn_of_unused_optimization(function: MLInferenceFunction) -> None:
    """Warn if the original model will serve, and not what `inference-runtime optimize` made of it.

    The runtime decides that by the manifest, and its log would tell only after the deployment.
    """
    model = function.model
    if not isinstance(model, InferenceModel) or MANIFEST_FILE not in model.files:
        return
    manifest = json.loads(model.files[MANIFEST_FILE].read_bytes())
    packaged = packaged_onnxruntime()
    made_with = manifest.get("onnxruntime")
    if made_with != packaged:
        _warn(
            function,
            f"the model was optimised with onnxruntime {made_with}",
            f"functions have {packaged}",
            f"optimise it again with onnxruntime=={packaged} installed",
        )
    made_for = (manifest.get("instruction_set") or "").partition(" ")[0]
    machine = _MACHINES[function.function.architecture.name]
    if made_for not in ("", machine):
        _warn(
            function,
            f"the model was optimised for {made_for}",
            f"the function runs on {machine}",
            "optimise it on such a machine, or without the candidate layout",
        )


def _warn(function: MLInferenceFunction, given: str, has: str, remedy: str) -> None:
    allowed = f"{has}, so the original would serve, which takes longer to start"
    warn(function, "optimizedModel", given, allowed=allowed, remedy=remedy)
