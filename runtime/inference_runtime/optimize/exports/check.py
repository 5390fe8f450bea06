"""An exported model must answer the samples as its source does."""

from __future__ import annotations

import numpy as np

from inference_runtime.optimize.errors import NotOptimized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference_runtime.optimize.arrays import Array


def check_answers(target: str, samples: Mapping[str, Array], expected: Iterable[Array]) -> None:
    """Check that an export answers like its source, to the rounding of 32-bit floats.

    Args:
        target: the exported model's file.
        samples: its inputs by name.
        expected: the source's answers, in the order of the model's outputs. Outputs after the last
            of them are left alone.

    Raises:
        NotOptimized: it does not, or does not run.
    """
    import onnxruntime as ort

    try:
        session = ort.InferenceSession(target, providers=["CPUExecutionProvider"])
        answers = session.run(None, dict(samples))
    except Exception as error:  # onnxruntime's errors have no common class
        raise NotOptimized(f"the exported model does not run on the samples: {error}") from error
    for output, ours, theirs in zip(session.get_outputs(), expected, answers, strict=False):
        _check_equal(ours, np.asarray(theirs), f"output {output.name!r}")


def _check_equal(ours: Array, theirs: Array, what: str) -> None:
    if ours.squeeze().shape != theirs.squeeze().shape:
        raise NotOptimized(
            f"the exported model's {what} has shape {list(theirs.shape)}, the source's"
            f" {list(ours.shape)}"
        )
    ours = ours.reshape(theirs.shape)  # scikit-learn's row of numbers is skl2onnx's column
    if ours.dtype.kind in "fiu":
        scale = max(1.0, float(np.abs(ours).max(initial=0)))
        same = np.isclose(ours, theirs, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)
    else:
        same = ours.astype(str) == theirs.astype(str)
    if not same.all():
        raise NotOptimized(
            f"the exported model's {what} differs from the source's on the samples, in"
            f" {same.size - same.sum():,} of {same.size:,} elements; is the source in evaluation"
            " mode, without randomness or state? An export computes in 32 bits: a sample on the"
            " edge of a decision may fall on its other side"
        )
