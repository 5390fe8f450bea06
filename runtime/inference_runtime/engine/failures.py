"""What onnxruntime's failures mean, and whose fault they are: one rule for every engine."""

from __future__ import annotations

from inference_runtime.errors import InvalidInput, ModelFailed, ModelNotLoaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.engine import Cancellation

# A model has run once when it is ready, so what the session then refuses is the input.
_REFUSALS = frozenset({"Fail", "InvalidArgument", "RuntimeException"})
_OUT_OF_MEMORY = (
    "bad_alloc",
    "Failed to allocate memory",
    "CUDA failure 2: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
# A GPU's own failures, which onnxruntime reports as it does a refusal, with this machine's name.
_DEVICE_FAILURES = ("; GPU=", "TensorRT EP")


def load_failure(path: str, text: str) -> ModelNotLoaded:
    """The error for a model file that onnxruntime does not load.

    Args:
        path: of the model.
        text: onnxruntime's own.
    """
    return ModelNotLoaded(f"{path} cannot be loaded: {text}")


def run_failure(name: str, text: str, cancellation: Cancellation | None) -> BaseException:
    """The error for a run that failed.

    Args:
        name: onnxruntime's name of the error, as its Python exceptions spell it.
        text: onnxruntime's own.
        cancellation: of that run.
    """
    if cancellation is not None and cancellation.reason is not None:
        return cancellation.reason
    if any(sign in text for sign in _OUT_OF_MEMORY):
        return ModelFailed("the model ran out of memory")
    if any(sign in text for sign in _DEVICE_FAILURES):
        return ModelFailed("the model failed on the GPU")
    if name in _REFUSALS:
        return InvalidInput(f"the model refuses this input: {text}")
    return ModelFailed(f"the model failed: {name}")
