"""The HTTP server, and how it stops: with every request answered, within 10 s.

docs/decisions/002-http-server.md tells why it is our own.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from contextlib import suppress
from ctypes import addressof, create_string_buffer
from selectors import EVENT_READ
from socket import IPPROTO_TCP, SOL_SOCKET, TCP_NODELAY
from struct import pack
from time import perf_counter

from inference_runtime.adapters.http.connection import Connection
from inference_runtime.adapters.http.event_loop import EventLoop
from inference_runtime.adapters.http.scheduler import Scheduler
from inference_runtime.errors import NotReady
from inference_runtime.telemetry import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket
    from types import FrameType
    from typing import Final

    from inference_runtime.adapters.http.scheduler import Plane
    from inference_runtime.settings import Settings

# For the kernel to finish the connections that it has begun to let in.
_ACCEPT_SECONDS: Final = 0.1
# Clients that keep their connection have sent their next request by then, and learn in its answer
# that it was the last one.
LINGER_SECONDS: Final = 0.5
# Cloud Run kills 10 s after SIGTERM
# (https://cloud.google.com/run/docs/container-contract#instance-shutdown), so that what still runs
# is ended, and answered, before.
END_RUNS_AFTER_SECONDS: Final = 8.0
_CLOSE_ALL_AFTER_SECONDS: Final = 9.0
# How often clients are looked at that may have taken too long.
_SWEEP_SECONDS: Final = 0.25
# Before more connections are accepted, where the process can hold no more.
_PAUSE_SECONDS: Final = 1.0
# As much as the kernel has of one connection, mostly.
_BUFFER_BYTES: Final = 262_144
_MOST_ACCEPTED_AT_ONCE: Final = 64
# Requests that are answered before the first answer is written, and how long that may take: what is
# fast takes 0.05 ms, and the first of them should not wait long for the last.
_MOST_AT_ONCE: Final = 32
_SECONDS_AT_ONCE: Final = 0.002
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
# Keep no byte of a packet that only asks for a connection, and all of any other: load the byte of
# TCP's flags, leave SYN and ACK of it, jump, return (linux/bpf_common.h).
_DROP_NEWCOMERS: Final = (
    (0x30, 0, 0, 13),
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFFFFFF),
)


class Server:
    """Accepts connections, and ends them.

    The first SIGTERM or SIGINT begins the end: the server listens no more, connections that there
    are may send a request for a moment yet, each answer closes its connection, and then the server
    waits for what runs. What does not end in time is ended, and answered with 503. A second signal
    ends the process at once.

    Args:
        plane: answers the requests.
        settings: of this process.
        listener: where clients connect.
        secure: wraps the socket of a client, where it is to speak TLS.

    Attributes:
        plane: as given.
        loop: calls the connections.
        scheduler: runs their requests.
        buffer: into which each connection reads, and leaves nothing.
        read_timeout: seconds for a request, from its first byte or the connection's start.
        keep_alive: seconds for the next request, and to read an answer.
        receivers: connections with a body on its way that comes in parts.
        most_receivers: how many of them there may be.
        is_draining: whether each answer is the last on its connection.
    """

    def __init__(
        self,
        plane: Plane,
        settings: Settings,
        listener: socket,
        secure: Callable[[socket], socket] | None = None,
    ) -> None:
        self.plane = plane
        self.loop = EventLoop()
        self.scheduler = Scheduler(plane, settings, self.loop)
        self.buffer = memoryview(bytearray(_BUFFER_BYTES))
        self.read_timeout = settings.read_timeout_seconds
        self.keep_alive = settings.keep_alive_seconds
        self.receivers = 0
        self.most_receivers = settings.max_queue
        self.is_draining = False
        self._listener = listener
        self._secure = secure
        self._is_stopping = False
        self._is_closing = False  # what is idle
        self._connections: set[Connection] = set()
        self._asked: deque[Connection] = deque()

    def run(self) -> None:
        """Serve until a signal, and then until every request is answered."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.set_wakeup_fd(self.loop.wakeup.fileno(), warn_on_full_buffer=False)
        self._listener.setblocking(False)
        self._listen()
        self._sweep()
        host, port = self._listener.getsockname()[:2]
        log("INFO", "listening", host=host, port=port)
        self.loop.run()
        log("INFO", "stopped")

    def answer_soon(self, connection: Connection) -> None:
        """A connection has a request: have it answered together with what else comes now."""
        self._asked.append(connection)
        if len(self._asked) >= _MOST_AT_ONCE:
            self._answer_asked()
        elif len(self._asked) == 1:
            self.loop.call_soon(self._answer_asked)

    def _answer_asked(self) -> None:
        """Answer first, and write then: a processor that does one thing at a time has its code and
        data at hand. Read, answered and written one by one, requests took twice the time.
        """
        asked, self._asked = self._asked, deque()  # what a flush adds has its turn later
        while asked:
            answered = []
            until = perf_counter() + _SECONDS_AT_ONCE
            while asked and perf_counter() < until:
                connection = asked.popleft()
                connection.answer_next()
                answered.append(connection)
            for connection in answered:
                connection.flush()

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        self._connections.discard(connection)
        self._stop_when_done()

    # Clients come

    def _listen(self) -> None:
        self.loop.watch(self._listener, EVENT_READ, self._accept)

    def _accept(self, _events: int = EVENT_READ) -> bool:
        """Whether there may be more to accept."""
        for _ in range(_MOST_ACCEPTED_AT_ONCE):
            try:
                client, _address = self._listener.accept()
            except BlockingIOError:
                return False
            except ConnectionError:  # It is gone already.
                continue
            except OSError as error:
                self._pause_for(error)
                return False
            client.setblocking(False)
            with suppress(OSError):  # It is gone already.
                client.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                secured = self._secure(client) if self._secure else client
                self._connections.add(Connection(secured, self))
        return True

    def _pause_for(self, error: OSError) -> None:
        """No file is left for it, for example. The listener stays ready: without a pause, the loop
        would do nothing else.
        """
        log("WARNING", "no more connections for a moment", detail=str(error))
        self._ignore_listener()
        self.loop.call_later(_PAUSE_SECONDS, self._listen_again)

    def _ignore_listener(self) -> None:
        with suppress(KeyError):  # Nobody listens: it is a pause already.
            self.loop.unwatch(self._listener)

    def _listen_again(self) -> None:
        if not self.is_draining:
            self._listen()

    def _sweep(self) -> None:
        now = perf_counter()
        for connection in [c for c in self._connections if c.deadline < now]:
            connection.timed_out()
        self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    # The end

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._is_stopping:
            os._exit(128 + number)
        self._is_stopping = True
        self.loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        log("INFO", "stopping")
        self.is_draining = True
        stopping = NotReady("the server is stopping; send the request again")
        self.loop.call_later(END_RUNS_AFTER_SECONDS, lambda: self.scheduler.end_all(stopping))
        self.loop.call_later(_CLOSE_ALL_AFTER_SECONDS, self.loop.stop)
        # Closing a socket resets the connections that wait to be accepted: let in no more first,
        # and accept those.
        _ignore_newcomers(self._listener)
        self.loop.call_later(_ACCEPT_SECONDS, self._stop_listening)

    def _stop_listening(self) -> None:
        while self._accept():
            pass
        self._ignore_listener()
        self._listener.close()
        self.loop.call_later(LINGER_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        self._is_closing = True
        for connection in [c for c in self._connections if c.is_idle]:
            connection.close()
        self._stop_when_done()

    def _stop_when_done(self) -> None:
        if self._is_closing and not self._connections:
            self.loop.stop()


def _ignore_newcomers(listener: socket) -> None:
    """Have the kernel drop who asks a listening socket for a connection; those that have been let
    in, and what ends their handshake, are not touched: https://docs.kernel.org/networking/filter.html
    """
    code = b"".join(pack("HBBI", *instruction) for instruction in _DROP_NEWCOMERS)
    instructions = create_string_buffer(code)
    program = pack("HP", len(_DROP_NEWCOMERS), addressof(instructions))
    with suppress(OSError):  # Elsewhere than on Linux, a connection of the last moment is reset.
        listener.setsockopt(SOL_SOCKET, _SO_ATTACH_FILTER, program)
