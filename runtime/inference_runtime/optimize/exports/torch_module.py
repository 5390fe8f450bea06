"""PyTorch modules, by ``torch.onnx.export``."""

from __future__ import annotations

import numpy as np

from inference_runtime.optimize.candidates.onnxruntime_tools import quiet
from inference_runtime.optimize.errors import NotOptimized
from inference_runtime.optimize.exports.check import check_answers
from inference_runtime.optimize.exports.inputs import read_arrays

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from inference_runtime.optimize.arrays import Array

KEEP: Final = "-"
_BATCH: Final = "batch"
_ROWS_TRACED = 2  # with one row, torch would take the number of rows for a constant


def export(
    module: Any, samples: str, target: str, opset: int, axes: Mapping[str, Sequence[str]]
) -> None:
    """Export ``module`` to ``target`` and check that it answers alike.

    The samples' arrays are the arguments of ``forward``, in the order of the file, and name the
    model's inputs.

    Raises:
        NotOptimized: onnxscript, which torch exports with, is missing; the export fails; or the
            exported model answers otherwise.
    """
    import torch

    arrays = read_arrays(samples)
    names = _named_axes(arrays, axes)
    traced = tuple(torch.from_numpy(_traced(array, names[name])) for name, array in arrays.items())
    module = module.eval()
    try:
        with quiet(), torch.no_grad():
            torch.onnx.export(
                module, traced, target, input_names=list(arrays), opset_version=opset,
                dynamic_shapes=_dynamic_shapes(names), dynamo=True, external_data=True,
            )  # fmt: skip
    except ImportError as error:
        raise NotOptimized(
            f"torch exports with a package that is not installed: {error}; pip install onnxscript"
        ) from error
    except Exception as error:  # a torch error of any class, for what a model may contain
        raise NotOptimized(
            f"torch.onnx.export failed: {type(error).__name__}: {str(error).strip()[:1000]}"
        ) from error
    check_answers(target, arrays, _answers(module, arrays))


def _named_axes(
    arrays: Mapping[str, Array], axes: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    unknown = [name for name in axes if name not in arrays]
    if unknown:
        raise NotOptimized(
            f"--dynamic-axes names {unknown[0]!r}, but the samples hold {', '.join(arrays)}"
        )
    named = {}
    for name, array in arrays.items():
        given = list(axes.get(name, [_BATCH]))
        if len(given) > array.ndim:
            raise NotOptimized(
                f"--dynamic-axes names {len(given)} axes of {name!r}, which has {array.ndim}"
            )
        named[name] = given
    return named


def _traced(array: Array, names: Sequence[str]) -> Array:
    if not array.ndim or not names or names[0] == KEEP:
        return array
    return np.ascontiguousarray(np.resize(array, (_ROWS_TRACED, *array.shape[1:])))


def _dynamic_shapes(names: Mapping[str, Sequence[str]]) -> tuple[dict[int, Any], ...]:
    import torch

    symbols = {axis for axes in names.values() for axis in axes if axis != KEEP}
    dimensions = {symbol: torch.export.Dim(symbol) for symbol in symbols}
    return tuple(
        {i: dimensions[axis] for i, axis in enumerate(axes) if axis != KEEP}
        for axes in names.values()
    )


def _answers(module: Any, arrays: Mapping[str, Array]) -> list[Array]:
    import torch

    with quiet(), torch.no_grad():
        answer = module(*map(torch.from_numpy, arrays.values()))
    return [tensor.numpy() for tensor in _tensors(answer)]


def _tensors(answer: Any) -> list[Any]:
    """The tensors in what a module gives, in the order in which torch exports them."""
    if hasattr(answer, "numpy"):
        return [answer]
    parts = answer.values() if isinstance(answer, dict) else answer
    return [tensor for part in parts if part is not None for tensor in _tensors(part)]
