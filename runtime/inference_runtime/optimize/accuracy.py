"""How far a candidate's answers are from the original's."""

from __future__ import annotations

import numpy as np

from inference_runtime.optimize.arrays import to_array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference_runtime.optimize.arrays import Array
    from inference_runtime.tensor import Tensor

    Answers = Sequence[Mapping[str, Tensor]]


class Accuracy:
    """A candidate's answers compared with the original's, on the same samples.

    Attributes:
        max_error: the largest difference of any element of any floating-point output, as a share
            of the largest absolute value that the original gave in that output: 0.01 is one
            percent. Infinite where one is finite and the other is not. 0 without such outputs.
        mean_error: the mean of those differences, of the output where it is largest.
        agreement: the share of rows whose top-1 is the same: equal labels, flags and texts, and
            the same column the largest in outputs of several columns. ``None`` where no output has
            a top-1, as in a regression.
    """

    __slots__ = ("agreement", "max_error", "mean_error")

    def __init__(self, max_error: float, mean_error: float, agreement: float | None) -> None:
        self.max_error = max_error
        self.mean_error = mean_error
        self.agreement = agreement


def compare(original: Answers, candidate: Answers) -> Accuracy:
    """Compare a candidate's answers with the original's.

    Raises:
        ValueError: they differ in the outputs, or in their shapes.
    """
    errors = [(0.0, 0.0)]
    agreements = []
    for name in original[0]:
        pairs = [
            (to_array(ours[name]), to_array(theirs[name]))
            for ours, theirs in zip(original, candidate, strict=True)
        ]
        for ours, theirs in pairs:
            if ours.shape != theirs.shape:
                raise ValueError(
                    f"its output {name!r} has shape {list(theirs.shape)},"
                    f" the original's {list(ours.shape)}"
                )
        if original[0][name].datatype.kind == "float":
            errors.append(_errors(pairs))
        agreements += _agreement(pairs)
    return Accuracy(
        max(largest for largest, _ in errors),
        max(mean for _, mean in errors),
        min(agreements) if agreements else None,
    )


def _errors(pairs: Sequence[tuple[Array, Array]]) -> tuple[float, float]:
    """The largest and the mean difference in one output, as shares of its largest value."""
    ours = np.concatenate([a.ravel() for a, _ in pairs]).astype(np.float64)
    theirs = np.concatenate([b.ravel() for _, b in pairs]).astype(np.float64)
    if not ours.size:
        return 0.0, 0.0
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(ours - theirs))
    difference[np.isnan(difference)] = np.inf
    finite = np.abs(ours[np.isfinite(ours)])
    scale = float(finite.max()) if finite.size else 0.0
    relative = difference / scale if scale else np.where(difference > 0, np.inf, 0.0)
    return float(relative.max()), float(relative.mean())


def _agreement(pairs: Sequence[tuple[Array, Array]]) -> list[float]:
    """The share of rows with the same top-1 in one output; empty where it has none."""
    rows = [_top1(a) == _top1(b) for a, b in pairs if _has_top1(a)]
    return [float(np.concatenate(rows).mean())] if rows and sum(map(len, rows)) else []


def _has_top1(output: Array) -> bool:
    is_float = not np.issubdtype(output.dtype, np.integer) and output.dtype.kind not in "bO"
    return output.ndim > 1 and output.shape[-1] > 1 if is_float else True


def _top1(output: Array) -> Array:
    """For each row, the largest column; for what is no score, the element itself."""
    if np.issubdtype(output.dtype, np.integer) or output.dtype.kind in "bO":
        return output.ravel()
    scores: Array = output.astype(np.float64)
    return np.asarray(np.argmax(scores, axis=-1)).ravel()
