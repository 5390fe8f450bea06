"""Callbacks of one thread: when a socket is ready, when a time has come, when another thread asks.

As much of asyncio's event loop as the HTTP host needs, under asyncio's names. asyncio itself takes
40 ms to import, as long as the rest of a small model's start.
"""

from __future__ import annotations

from _heapq import heappop, heappush
from collections import deque
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from socket import socketpair
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket
    from typing import Any


class Timer:
    """A call at a time to come; ``EventLoop.call_later`` makes it."""

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], Any]) -> None:
        self.when = when
        self.call: Callable[[], Any] | None = call

    def cancel(self) -> None:
        """Leave the call out."""
        self.call = None

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class EventLoop:
    """Waits for whatever comes first, and calls what is to be called then.

    Only ``call_soon_threadsafe`` may be called from other threads, and from signal handlers.

    Attributes:
        wakeup: wakes the loop when a byte is written to it; for ``signal.set_wakeup_fd``.
    """

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self._timers: list[Timer] = []
        self._calls: deque[Callable[[], Any]] = deque()
        self._is_stopped = False
        self._woken, self.wakeup = socketpair()
        self._woken.setblocking(False)
        self.wakeup.setblocking(False)
        self.watch(self._woken, EVENT_READ, self._forget_wakeups)

    def watch(self, sock: socket, events: int, call: Callable[[int], Any]) -> None:
        """Call ``call`` with what ``sock`` is ready for, of ``events``, whenever it is.

        Args:
            sock: not watched so far.
            events: ``selectors.EVENT_READ``, ``EVENT_WRITE`` or both.
            call: must neither wait nor raise.
        """
        self._selector.register(sock, events, call)

    def unwatch(self, sock: socket) -> None:
        """Watch ``sock`` no more; to be called before it is closed."""
        self._selector.unregister(sock)

    def call_later(self, seconds: float, call: Callable[[], Any]) -> Timer:
        """Call ``call`` once, after so many seconds."""
        timer = Timer(monotonic() + seconds, call)
        heappush(self._timers, timer)
        return timer

    def call_soon(self, call: Callable[[], Any]) -> None:
        """Call ``call`` after the sockets that are ready now. For the loop's own thread."""
        self._calls.append(call)

    def call_soon_threadsafe(self, call: Callable[[], Any]) -> None:
        """Have the loop's thread call ``call`` as soon as it can."""
        self._calls.append(call)
        with suppress(BlockingIOError):  # So many wake-ups are on their way that one is enough.
            self.wakeup.send(b"\0")

    def run(self) -> None:
        """Wait and call, until ``stop``."""
        select = self._selector.select
        while not self._is_stopped:
            for key, events in select(self._patience()):
                key.data(events)
            if self._timers:
                self._call_due()
            for _ in range(len(self._calls)):  # What these add has its turn after the sockets.
                self._calls.popleft()()

    def stop(self) -> None:
        """End ``run`` after what is being called."""
        self._is_stopped = True

    def _patience(self) -> float | None:
        """Seconds until there is something to call."""
        if self._calls:
            return 0.0
        return max(0.0, self._timers[0].when - monotonic()) if self._timers else None

    def _call_due(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0].when <= now:
            call = heappop(self._timers).call
            if call is not None:
                call()

    def _forget_wakeups(self, _events: int) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)
