"""Which candidate serves: the gate that keeps wrong ones out, and the choice among the others."""

from __future__ import annotations

from inference_runtime.optimize.accuracy import compare
from inference_runtime.optimize.candidate import NEAR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from inference_runtime.optimize.accuracy import Accuracy
    from inference_runtime.optimize.candidate import Candidate
    from inference_runtime.optimize.measure import Outcome

_NEAR_MS: Final = 1.0


class Tolerance:
    """How far a candidate may be from the original.

    Attributes:
        max_error: as ``Accuracy.max_error``. The default, one percent of the largest value, is
            about what a probability may be off before anybody sees it.
        min_agreement: as ``Accuracy.agreement``. By default 99 of 100 rows have the same top-1.
    """

    __slots__ = ("max_error", "min_agreement")

    def __init__(self, max_error: float = 0.01, min_agreement: float = 0.99) -> None:
        self.max_error = max_error
        self.min_agreement = min_agreement

    def objection(self, accuracy: Accuracy) -> str:
        """Why a candidate of this accuracy is not served; empty where it may be."""
        if not accuracy.max_error <= self.max_error:
            return f"error {accuracy.max_error:.2g} > {self.max_error:g}"
        if accuracy.agreement is not None and accuracy.agreement < self.min_agreement:
            return f"agreement {accuracy.agreement:.2%} < {self.min_agreement:.2%}"
        return ""


def judge(
    candidates: Sequence[Candidate],
    outcomes: Mapping[str, Outcome],
    original: Outcome,
    tolerance: Tolerance,
) -> None:
    """Note in each candidate what was measured of it, and why it is not served."""
    for candidate in candidates:
        outcome, unpacked = (outcomes[subject.name] for subject in candidate.subjects)
        candidate.timing = outcome.timing
        if outcome.timing is None:
            candidate.rejected = f"it cannot run: {outcome.failure}"
            continue
        try:
            candidate.accuracy = compare(original.answers, outcome.answers)
        except ValueError as error:
            candidate.rejected = str(error)
            continue
        candidate.rejected = tolerance.objection(candidate.accuracy)
        if unpacked.timing is not None:
            accuracy = compare(original.answers, unpacked.answers)
            candidate.unpacked = None if tolerance.objection(accuracy) else unpacked.timing
        if not candidate.choosable:
            candidate.rejected = "for information"


def choose(candidates: Sequence[Candidate], calls: int) -> Candidate:
    """The candidate with the least ``instance_ms``.

    Of those that are near it, one that is not lossy is taken where there is one; of these, the one
    that starts first; and of those near that, the first given. Near is within 10 %, or within a
    millisecond, which is about what a manifest takes to be read.

    Args:
        candidates: from the safest to the least; at least one that is measured and not rejected.
        calls: that an instance answers in its life.
    """
    allowed = [c for c in candidates if c.start is not None and not c.rejected]
    near = _near(allowed, [candidate.instance_ms(calls) for candidate in allowed])
    exact = [candidate for candidate in near if not candidate.lossy] or near
    return _near(exact, [candidate.instance_ms(0) for candidate in exact])[0]


def _near(candidates: Sequence[Candidate], times: Sequence[float]) -> list[Candidate]:
    enough = max(min(times) * NEAR, min(times) + _NEAR_MS)
    return [c for c, time in zip(candidates, times, strict=True) if time <= enough]
