"""From what a user has to an ONNX file: a file, a torch module or a scikit-learn estimator."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys

from inference_runtime.optimize import model_file
from inference_runtime.optimize.errors import NotOptimized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

# Wide support: every onnxruntime that the runtime works with, torch's exporter and skl2onnx.
DEFAULT_OPSET: Final = 18

_OBJECT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def to_onnx(
    model: str, samples: str, folder: str, opset: int, axes: Mapping[str, Sequence[str]]
) -> str:
    """The path of the ONNX file of ``model``, exported into ``folder`` where it is none yet.

    Args:
        model: an ``.onnx`` file, or ``package.module:name`` of a torch module, of a fitted
            scikit-learn estimator, or of a class or function that makes one without
            arguments. The module is looked for in the working directory and then as Python does.
        samples: of its input; exports need one.
        folder: for the export.
        opset: of the export: the version of ONNX's operators.
        axes: for torch: names of each input's axes, ``-`` for one that keeps the sample's size;
            by default the first axis of each input is ``batch``.

    Raises:
        NotOptimized: there is no such file, module or object; it is of no kind that can be
            exported; or the export fails or answers otherwise than the object itself.
    """
    if os.path.isfile(model) or not _OBJECT.fullmatch(model):
        model_file.read(model, weights=False)
        return model
    if not samples:
        raise NotOptimized(f"{model} is no ONNX file: to export it, give --samples of its input")
    found = _load(model)
    target = os.path.join(folder, "exported.onnx")
    if _is_a(found, "torch.nn.modules.module", "Module"):
        from inference_runtime.optimize.exports.torch_module import export as export_torch

        export_torch(found, samples, target, opset, axes)
    elif _is_a(found, "sklearn.base", "BaseEstimator"):
        from inference_runtime.optimize.exports.sklearn_estimator import export as export_sklearn

        export_sklearn(found, samples, target, opset)
    else:
        raise NotOptimized(
            f"{model} is a {type(found).__name__}; a torch.nn.Module, a scikit-learn estimator, or"
            " a class or function that makes one of these can be exported"
        )
    return target


def _load(reference: str) -> Any:
    module_name, _, path = reference.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
        for name in path.split("."):
            found = getattr(found, name)
        return found() if inspect.isfunction(found) or inspect.isclass(found) else found
    except Exception as error:  # the user's own code
        raise NotOptimized(f"{reference} cannot be had: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(os.getcwd())


def _is_a(found: object, module: str, name: str) -> bool:
    """Whether ``found`` is of a class that an imported module defines; nothing is imported."""
    owner = sys.modules.get(module)
    return owner is not None and isinstance(found, getattr(owner, name))
