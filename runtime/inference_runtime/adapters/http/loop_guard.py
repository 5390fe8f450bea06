"""Takes a run off the event loop that turns out to be slow."""

from __future__ import annotations

import time
from threading import Event, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from inference_runtime.engine import Cancellation

# A run stays on the event loop for one to two of these.
ALLOWANCE_SECONDS: Final = 0.025


class TookTooLong(BaseException):
    """The run was ended to be repeated elsewhere.

    No ``Exception``, because it is no answer: it passes through the data plane, which neither
    counts nor logs it.
    """


class LoopGuard:
    """Looks after the one run that a thread may have going on, from a thread of its own.

    It sleeps while there are no runs, and a run costs two assignments.
    """

    def __init__(self) -> None:
        self._current: Cancellation | None = None
        self._runs = Event()
        Thread(target=self._watch, name="loop-guard", daemon=True).start()

    def begin(self, cancellation: Cancellation) -> None:
        """A run has begun. Past its allowance, ``cancellation`` ends it with ``TookTooLong``."""
        self._current = cancellation
        if not self._runs.is_set():
            self._runs.set()

    def end(self) -> None:
        """The run is over."""
        self._current = None

    def _watch(self) -> None:
        while True:
            self._runs.wait()
            self._runs.clear()
            seen = self._current
            time.sleep(ALLOWANCE_SECONDS)
            if seen is not None and seen is self._current:
                seen.cancel(TookTooLong())
