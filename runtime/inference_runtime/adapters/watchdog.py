"""Ends runs whose time is over."""

from __future__ import annotations

import time
from math import inf
from threading import Condition, Thread

from inference_runtime.engine import Cancellation


class Watchdog:
    """Cancels runs at their deadlines: one thread, however many runs there are."""

    def __init__(self) -> None:
        self._deadlines: dict[Cancellation, float] = {}
        self._changed = Condition()
        self._wakes_at = inf
        Thread(target=self._watch, daemon=True).start()

    def limit(self, deadline: float) -> Limit:
        """What watches a run, as a context, for as long as that lasts.

        Args:
            deadline: on the ``time.time`` clock.
        """
        return Limit(self, deadline)

    def add(self, cancellation: Cancellation, deadline: float) -> None:
        """Have ``cancellation`` cancelled at ``deadline``."""
        with self._changed:
            self._deadlines[cancellation] = deadline
            if deadline < self._wakes_at:
                self._changed.notify()

    def remove(self, cancellation: Cancellation) -> None:
        """Leave ``cancellation`` alone from now on."""
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


class Limit:
    """Watches one run; entered, it is what that is given, and what is cancelled at the deadline."""

    __slots__ = ("_cancellation", "_deadline", "_watchdog")

    def __init__(self, watchdog: Watchdog, deadline: float) -> None:
        self._watchdog = watchdog
        self._deadline = deadline
        self._cancellation = Cancellation()

    def __enter__(self) -> Cancellation:
        self._watchdog.add(self._cancellation, self._deadline)
        return self._cancellation

    def __exit__(self, *_: object) -> None:
        self._watchdog.remove(self._cancellation)
