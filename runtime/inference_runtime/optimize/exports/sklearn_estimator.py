"""Fitted scikit-learn estimators, by ``skl2onnx``."""

from __future__ import annotations

import json

import numpy as np

from inference_runtime.engine.labels import CLASS_LABELS
from inference_runtime.optimize.candidates.onnxruntime_tools import quiet
from inference_runtime.optimize.errors import NotOptimized
from inference_runtime.optimize.exports.inputs import check_equal, read_arrays

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
    name, rows = _single_array(samples)
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
    if classes is not None:
        labels = model.metadata_props.add()
        labels.key, labels.value = CLASS_LABELS, json.dumps(classes.tolist())
    with open(target, "wb") as file:
        file.write(model.SerializeToString())
    _check(estimator, name, rows, target)


def _single_array(samples: str) -> tuple[str, Array]:
    arrays = read_arrays(samples)
    if len(arrays) != 1:
        raise NotOptimized(
            f"scikit-learn takes one array of rows, but {samples} holds {', '.join(arrays)}"
        )
    ((name, rows),) = arrays.items()
    if rows.ndim != 2:
        raise NotOptimized(f"scikit-learn takes rows of features; {name!r} has {rows.ndim} axes")
    # skl2onnx computes in 32 bits; what the samples hold is what the model will take.
    return name, rows.astype(np.float32) if rows.dtype == np.float64 else rows


def _check(estimator: Any, name: str, rows: Array, target: str) -> None:
    import onnxruntime as ort

    session = ort.InferenceSession(target, providers=["CPUExecutionProvider"])
    answer = session.run(None, {name: rows})[0]
    method = estimator.predict if hasattr(estimator, "predict") else estimator.transform
    expected = np.asarray(method(rows))
    check_equal(expected.reshape(answer.shape), answer, f"output {session.get_outputs()[0].name!r}")
