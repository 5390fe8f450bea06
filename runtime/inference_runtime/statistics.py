"""Counts of one model's inferences, as the protocol's statistics extension shows them."""

from __future__ import annotations

import time
from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.jsonio import Json

PARTS = ("queue", "decode", "run", "encode")
# Triton's names for the same parts.
_NAMES = {
    "queue": "queue",
    "decode": "compute_input",
    "run": "compute_infer",
    "encode": "compute_output",
}


class Statistics:
    """Counters of one model, safe from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last_inference = 0.0  # seconds since the epoch
        self._inferences = 0
        self._counts = {"success": 0, "fail": 0}
        self._seconds = {"success": 0.0, "fail": 0.0}
        self._parts = dict.fromkeys(PARTS, 0.0)

    def record(self, seconds: dict[str, float], batch_size: int, *, success: bool) -> None:
        """Count one request.

        Args:
            seconds: of each part, by its name.
            batch_size: rows in it.
            success: whether it was answered with a prediction.
        """
        outcome = "success" if success else "fail"
        with self._lock:
            self._counts[outcome] += 1
            self._seconds[outcome] += sum(seconds.values())
            if not success:
                return
            self._last_inference = time.time()
            self._inferences += batch_size
            for part, spent in seconds.items():
                self._parts[part] += spent

    def describe(self) -> dict[str, Json]:
        """The counters in the extension's form, durations in nanoseconds."""
        with self._lock:
            succeeded = self._counts["success"]
            outcomes: dict[str, Json] = {
                outcome: {"count": count, "ns": _nanoseconds(self._seconds[outcome])}
                for outcome, count in self._counts.items()
            }
            parts: dict[str, Json] = {
                _NAMES[part]: {"count": succeeded, "ns": _nanoseconds(spent)}
                for part, spent in self._parts.items()
            }
            return {
                "last_inference": int(self._last_inference * 1000),
                "inference_count": self._inferences,
                "execution_count": succeeded,
                "inference_stats": outcomes | parts,
                "batch_stats": [],
            }


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
