"""How long requests lately took, by path: it decides whether the event loop runs one itself."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Handing a request to a thread and back costs 0.1 to 0.2 ms (bench/servers.py), and a request on
# the event loop holds up every other one: so the loop takes what lasts a few times that at most.
FAST_SECONDS: Final = 0.001
# A model may take longer for more rows, so that past measures tell of bodies of the same kind only.
SMALL_BODY_BYTES: Final = 65_536

_FORGETTING = 0.9
_MOST_COUNTED_SECONDS = 2 * FAST_SECONDS
_LARGEST_TABLE = 1024


class Pace:
    """Tells fast paths from slow ones, by the requests that were answered before.

    The figure is an average that forgets a tenth with each request. A single one counts as twice
    the limit at most, so that a hiccup of the machine does not send a fast model's requests to
    threads, while a model that has become slow is one after seven. A path that was not measured
    yet is slow, and so is one that the loop's guard had to end.

    Example:
        >>> pace = Pace()
        >>> pace.record("/predict", 0.0002)
        >>> pace.is_fast("/predict", body_bytes=100)
        True
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def is_fast(self, path: str, body_bytes: int) -> bool:
        """Whether a request is likely to be answered within ``FAST_SECONDS``."""
        seconds = self._seconds.get(path)
        return seconds is not None and seconds < FAST_SECONDS and body_bytes <= SMALL_BODY_BYTES

    def record(self, path: str, seconds: float) -> None:
        """Take note of a request that was answered.

        Paths beyond the first 1,024 are left out: callers can spell one path in many ways.
        """
        before = self._seconds.get(path)
        if before is None:
            if len(self._seconds) < _LARGEST_TABLE:
                self._seconds[path] = min(seconds, _MOST_COUNTED_SECONDS)
            return
        bounded = min(seconds, _MOST_COUNTED_SECONDS)
        self._seconds[path] = _FORGETTING * before + (1 - _FORGETTING) * bounded

    def mark_slow(self, path: str) -> None:
        """Take note of a request that had to be taken off the loop."""
        if path in self._seconds:
            self._seconds[path] = _MOST_COUNTED_SECONDS
