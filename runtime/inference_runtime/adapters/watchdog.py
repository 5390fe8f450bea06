"""Ends runs whose time is over."""

from __future__ import annotations

import time
from contextlib import contextmanager
from math import inf
from threading import Condition, Thread

from inference_runtime.engine import Cancellation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Watchdog:
    """Cancels runs at their deadlines: one thread, however many runs there are."""

    def __init__(self) -> None:
        self._deadlines: dict[Cancellation, float] = {}
        self._changed = Condition()
        self._wakes_at = inf
        Thread(target=self._watch, daemon=True).start()

    @contextmanager
    def limit(self, deadline: float) -> Iterator[Cancellation]:
        """Watch a run for as long as the context lasts.

        Args:
            deadline: on the ``time.time`` clock.

        Returns:
            What the run is given, and what is cancelled at ``deadline``.
        """
        cancellation = Cancellation()
        with self._changed:
            self._deadlines[cancellation] = deadline
            if deadline < self._wakes_at:
                self._changed.notify()
        try:
            yield cancellation
        finally:
            with self._changed:
                del self._deadlines[cancellation]

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.time()
                self._wakes_at = inf
                for cancellation, deadline in self._deadlines.items():
                    if deadline <= now:
                        cancellation.cancel()
                    else:
                        self._wakes_at = min(self._wakes_at, deadline)
                self._changed.wait(None if self._wakes_at == inf else self._wakes_at - now)
