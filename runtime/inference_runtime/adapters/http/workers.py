"""Threads for what takes its time."""

from __future__ import annotations

from _queue import SimpleQueue
from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Workers:
    """Threads that take jobs in the order in which they came; started as they are needed.

    ``concurrent.futures`` does the same and more, and takes 11 ms to import.

    Args:
        most: how many threads there are at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads = 0
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def submit(self, job: Callable[[], None]) -> None:
        """Have a thread call ``job``, which must not raise. Only one thread may submit."""
        self._jobs.put(job)
        if self._threads < self._most:
            self._threads += 1
            Thread(target=self._work, name=f"run-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._jobs.get()()
