"""Fitted scikit-learn estimators, by ``skl2onnx``."""

from __future__ import annotations

import json

import numpy as np

from inference_runtime.engine.labels import CLASS_LABELS
from inference_runtime.optimize.candidates.onnxruntime_tools import quiet
from inference_runtime.optimize.errors import NotOptimized
from inference_runtime.optimize.exports.check import check_answers
from inference_runtime.optimize.exports.inputs import read_arrays

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.optimize.arrays import Array

# The newest opset of the domain ai.onnx.ml that skl2onnx writes.
_ML_OPSET: Final = 3


def export(estimator: Any, samples: str, target: str, opset: int) -> None:
    """Export ``estimator`` to ``target``, its class labels with it, and check its answers.

    Raises:
        NotOptimized: skl2onnx is missing, the samples hold more than one array, the export fails,
            or the exported model answers otherwise.
    """
    try:
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import guess_data_type
    except ImportError as error:
        raise NotOptimized(
            f"scikit-learn models are converted with skl2onnx: {error}; pip install skl2onnx"
        ) from error
    name, given = _single_array(samples)
    # skl2onnx computes in 32 bits; what the samples hold is what the model will take.
    rows = given.astype(np.float32) if given.dtype == np.float64 else given
    classes = getattr(estimator, "classes_", None)
    try:
        with quiet():
            ((_, kind),) = guess_data_type(rows)
            model = to_onnx(
                estimator,
                initial_types=[(name, type(kind)([None, *rows.shape[1:]]))],
                options={"zipmap": False} if hasattr(estimator, "predict_proba") else None,
                target_opset={"": opset, "ai.onnx.ml": _ML_OPSET},
            )
    except Exception as error:  # skl2onnx has no common class for what it does not convert
        raise NotOptimized(
            f"skl2onnx cannot convert it: {type(error).__name__}: {str(error).strip()[:1000]}"
        ) from error
    if isinstance(classes, np.ndarray):  # those of several outputs are a list
        labels = model.metadata_props.add()
        labels.key, labels.value = CLASS_LABELS, json.dumps(classes.tolist())
    with open(target, "wb") as file:
        file.write(model.SerializeToString())
    check_answers(target, {name: rows}, _answers(estimator, rows.astype(given.dtype)))


def _single_array(samples: str) -> tuple[str, Array]:
    arrays = read_arrays(samples)
    if len(arrays) != 1:
        raise NotOptimized(
            f"scikit-learn takes one array of rows, but {samples} holds {', '.join(arrays)}"
        )
    ((name, rows),) = arrays.items()
    if rows.ndim != 2:
        raise NotOptimized(f"scikit-learn takes rows of features; {name!r} has {rows.ndim} axes")
    return name, rows


def _answers(estimator: Any, rows: Array) -> list[Array]:
    """What the exported model gives: predictions and probabilities, or what was transformed."""
    methods = ("predict", "predict_proba") if hasattr(estimator, "predict") else ("transform",)
    try:
        answers = [getattr(estimator, m)(rows) for m in methods if hasattr(estimator, m)]
    except Exception as error:  # the user's estimator may raise anything
        raise NotOptimized(
            f"the estimator does not answer the samples: {type(error).__name__}: {error}"
        ) from error
    return [answer for answer in answers if isinstance(answer, np.ndarray)]
