"""The user's own code around the model, in place of the simple form.

``INFERENCE_PIPELINE=package.module:Class`` names a class like this, made once, at start::

    class Pipeline:
        def preprocess(self, request):
            return {"pixels": numpy.array(request["image"], numpy.float32).reshape(1, 64) / 16}

        def postprocess(self, outputs):
            return int(outputs["label"][0])

``preprocess`` takes the parsed JSON of ``POST /predict`` or of a direct invocation, and gives the
model's inputs by name. ``postprocess`` takes its outputs by name, and gives what is answered as
``predictions``. To blame the caller, raise ``inference_runtime.errors.InvalidInput``; whatever else
is raised is answered with 500 ``PIPELINE_FAILED``, and its traceback is in the log.
"""

from __future__ import annotations

from importlib import import_module

from inference_runtime import jsonio
from inference_runtime.arrays import has_type, to_array, to_tensor
from inference_runtime.errors import InferenceError, InvalidInput, InvalidSettings, PipelineFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    import numpy as np

    from inference_runtime.jsonio import Json
    from inference_runtime.signature import Signature
    from inference_runtime.tensor import Tensor

    Array = np.ndarray[Any, Any]

    class Pipeline(Protocol):
        """What ``INFERENCE_PIPELINE`` names: a class of this form, made without arguments."""

        def preprocess(self, request: Any) -> dict[str, Array]:
            """The model's inputs by name, from a request's JSON."""

        def postprocess(self, outputs: dict[str, Array]) -> Any:
            """A JSON value, from the model's outputs by name."""


def load_pipeline(reference: str) -> Pipeline:
    """An instance of the class that ``package.module:Class`` names.

    Raises:
        InvalidSettings: there is none, it cannot be made, or it lacks one of the two methods.
    """
    module, _, name = reference.partition(":")
    try:
        pipeline: Pipeline = getattr(import_module(module), name)()
    except Exception as error:
        raise InvalidSettings(
            f"INFERENCE_PIPELINE is {reference!r}, but it cannot be loaded:"
            f" {type(error).__name__}: {error}"
        ) from error
    for method in ("preprocess", "postprocess"):
        if not callable(getattr(pipeline, method, None)):
            raise InvalidSettings(f"INFERENCE_PIPELINE is {reference!r}, which has no {method}")
    return pipeline


class PipelineForm:
    """Reads and writes requests with the user's code.

    Args:
        pipeline: the user's.
        signature: of the model.
        model_version: as the answers name it.
    """

    def __init__(self, pipeline: Pipeline, signature: Signature, model_version: str) -> None:
        self._pipeline = pipeline
        self._signature = signature
        self._model_version = model_version

    def decode(self, body: Json) -> dict[str, Tensor]:
        """The model's inputs.

        Raises:
            InferenceError: as the user's code raises it.
            PipelineFailed: the user's code raises something else, or gives what the model does
                not take.
        """
        try:
            arrays = self._pipeline.preprocess(body)
        except InferenceError:
            raise
        except Exception as error:
            raise _failure("preprocess", error) from error
        return self._tensors(arrays)

    def encode(self, outputs: Mapping[str, Tensor]) -> dict[str, Json]:
        """The answer.

        Raises:
            InferenceError: as the user's code raises it.
            PipelineFailed: the user's code raises something else, or gives what is no JSON.
        """
        try:
            value = self._pipeline.postprocess({n: to_array(t) for n, t in outputs.items()})
            jsonio.dumps(value)
        except InferenceError:
            raise
        except Exception as error:
            raise _failure("postprocess", error) from error
        return {"predictions": value, "model_version": self._model_version}

    def _tensors(self, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        if not isinstance(arrays, dict):
            raise PipelineFailed(
                f"the pipeline's preprocess gave a {type(arrays).__name__}, and no dict of arrays"
                " by input's name"
            )
        tensors = {}
        for name, array in arrays.items():
            spec = self._signature.inputs.get(name)
            if spec is None or not has_type(array, spec.datatype):
                takes = "no such input" if spec is None else str(spec)
                raise PipelineFailed(
                    f"the pipeline's preprocess gave {name!r} as {_described(array)}; the model"
                    f" takes {takes}"
                )
            tensors[name] = to_tensor(array, spec.datatype)
        try:
            self._signature.check_inputs(tensors)
        except InvalidInput as error:
            raise PipelineFailed(f"the pipeline's preprocess does not fit: {error}") from error
        return tensors


def _described(array: Array) -> str:
    if hasattr(array, "shape"):
        return f"{array.dtype}{list(array.shape)}"
    return f"a {type(array).__name__}"


def _failure(method: str, error: Exception) -> PipelineFailed:
    return PipelineFailed(f"the pipeline's {method} failed: {type(error).__name__}")
