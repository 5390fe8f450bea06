"""What can go wrong while a model is optimised."""

from __future__ import annotations

from inference_runtime.errors import InferenceError


class NotOptimized(InferenceError):
    """The model cannot be optimised as asked; the text says why and what to do.

    Example:
        >>> try:
        ...     inspect_model("absent.onnx")
        ... except NotOptimized as error:
        ...     sys.exit(str(error))
    """

    code = "NOT_OPTIMIZED"


class DoesNotApply(Exception):
    """A way to make a candidate has nothing to do for this model; the text says why."""
