"""One client's connection: requests in, responses out, in their order and within bounds of time."""

from __future__ import annotations

from collections import deque
from selectors import EVENT_READ, EVENT_WRITE
from socket import SHUT_WR
from time import perf_counter

from inference_runtime.adapters.http.request_reader import NotHttp, RequestReader
from inference_runtime.adapters.http.response import CONTINUE, refusal, response
from inference_runtime.errors import ClientGone, InferenceError, Overloaded
from inference_runtime.telemetry import log_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Final

    from inference_runtime.adapters.http.scheduler import Run
    from inference_runtime.adapters.http.server import Server
    from inference_runtime.messages import Reply, Request

    # Whether another may follow it, and whether only the head of its response is wanted.
    _Asked = tuple[Request, bool, bool]

# For a client to close its end after the last answer, before it is closed for it.
LINGER_SECONDS: Final = 2.0
_NEVER: Final = float("inf")

# What is waited for: the rest of a request, its answer, the client to read it or to close its end,
# or the next request.
_REQUEST, _ANSWER, _READER, _END, _NEXT = range(5)


class Connection:
    """Reads requests, has them answered one after the other, and writes the responses.

    What a client sends beyond the request that is being answered waits: a few requests here, the
    rest in the kernel.

    Args:
        client: the socket; it does not block.
        server: whose connection this is.

    Attributes:
        deadline: when ``timed_out`` is due, on the ``time.perf_counter`` clock.
    """

    __slots__ = (
        "_events", "_is_closing", "_is_listening", "_is_open", "_is_receiving", "_is_without_body",
        "_may_follow", "_outgoing", "_queue", "_reader", "_run", "_server", "_socket", "_waits_for",
        "deadline",
    )  # fmt: skip

    def __init__(self, client: socket, server: Server) -> None:
        self._socket = client
        self._server = server
        self._reader = RequestReader(server.plane.max_request_bytes, self._take)
        self._queue: deque[_Asked | bytes] = deque()  # bytes are a refusal, and the last
        self._run: Run | None = None
        self._outgoing: bytes | memoryview = b""
        self._may_follow = True  # a request after that which is being answered
        self._is_without_body = False  # the response to it
        self._is_receiving = False  # a body, in a place among the server's receivers
        self._is_listening = True  # for more requests
        self._is_closing = False  # once all is written
        self._is_open = True
        self._events = EVENT_READ
        self._waits_for = _REQUEST
        self.deadline = perf_counter() + server.read_timeout
        server.loop.watch(client, EVENT_READ, self.ready)

    @property
    def is_idle(self) -> bool:
        """Whether no request is on its way or being answered."""
        if self._waits_for == _REQUEST:
            return not (self._reader.is_reading or self._queue)
        return self._waits_for == _NEXT and not self._queue

    def ready(self, events: int) -> None:
        """The socket can be read from, or written to."""
        try:
            if events & EVENT_WRITE:
                self.flush()
            if events & EVENT_READ and self._is_open:
                self._read()
            if len(self._queue) != 1:  # The answer to one follows at once, and `flush` with it.
                self._go_on()
        except Exception as error:
            self._fail(error)

    def answer_next(self) -> None:
        """Have the next request answered, unless the client has not got the last answer yet. The
        answer is kept for ``flush``.
        """
        try:
            if self._queue and self._is_free:
                self._begin(self._queue.popleft())
        except Exception as error:
            self._fail(error)

    def flush(self) -> None:
        """Write what there is, as far as the client takes it, and go on to what is next."""
        try:
            if self._outgoing:
                self._send()
            if self._queue and self._is_free:
                self._server.answer_soon(self)
            else:
                self._go_on()
        except Exception as error:
            self._fail(error)

    def timed_out(self) -> None:
        """The deadline has passed: refuse what is not whole, else close it."""
        if self._waits_for == _REQUEST and self._reader.is_reading and self._is_listening:
            self._refuse(NotHttp(408, "the request was not whole in time"))
        else:
            self.close()

    def close(self) -> None:
        """Close it now, whatever is going on."""
        if self._is_open:
            self._is_open, self._is_closing = False, True
            self._stop_receiving()
            if self._events:
                self._server.loop.unwatch(self._socket)
            self._socket.close()
            self._server.forget(self)

    @property
    def _is_free(self) -> bool:
        """To begin with a request."""
        return not (self._run or self._outgoing or self._is_closing)

    def _fail(self, error: Exception) -> None:
        """A fault of ours, which nobody foresaw."""
        log_exception("connection failed", error)
        self.close()

    # In

    def _read(self) -> None:
        buffer = self._server.buffer
        try:
            size = self._socket.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._hung_up()
        elif self._is_listening:
            self._feed(buffer[:size])

    def _feed(self, data: memoryview) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            if reader.is_in_body:
                self._receive()
        except NotHttp as reason:
            if self._is_listening:  # else it follows the last request
                self._refuse(reason)
        except InferenceError as error:
            self._refuse_request(error)

    def _receive(self) -> None:
        """A body is on its way: have it sent, and what comes in parts only if there is a place."""
        server, reader = self._server, self._reader
        if reader.body_bytes and not self._is_receiving:
            if server.receivers >= server.most_receivers:
                raise Overloaded("too many bodies are on their way; try later")
            server.receivers += 1
            self._is_receiving = True
        if reader.asks_to_continue and not (self._run or self._queue or self._outgoing):
            reader.asks_to_continue = False
            self._outgoing = CONTINUE
            self._send()

    def _stop_receiving(self) -> None:
        if self._is_receiving:
            self._is_receiving = False
            self._server.receivers -= 1

    def _hung_up(self) -> None:
        gone = ClientGone("the client closed the connection")
        if self._run is not None:
            self._run.end(gone)
        elif self._reader.is_in_body and self._is_listening:
            self._server.plane.refuse(self._reader.request(), gone)
        self.close()

    # Through

    def _take(self, request: Request, may_follow: bool, is_without_body: bool) -> None:
        """The reader has a whole request."""
        self._stop_receiving()
        if self._is_listening:
            self._is_listening = may_follow
            self._ask((request, may_follow, is_without_body))

    def _refuse_request(self, error: InferenceError) -> None:
        """The request that is being read gets ``error`` for an answer, and is the last."""
        reply = self._server.plane.refuse(self._reader.request(), error)
        self._ask_last(response(reply, closes=True))

    def _refuse(self, reason: NotHttp) -> None:
        """What is being read is no request, and there will be none."""
        self._ask_last(refusal(reason.status, str(reason)))

    def _ask_last(self, answer: bytes) -> None:
        self._stop_receiving()
        self._is_listening = False
        self._ask(answer)

    def _ask(self, asked: _Asked | bytes) -> None:
        self._queue.append(asked)
        if len(self._queue) == 1 and self._run is None:  # else its turn comes after theirs
            self._server.answer_soon(self)

    def _begin(self, asked: _Asked | bytes) -> None:
        if isinstance(asked, bytes):
            self._is_closing, self._outgoing = True, asked
            return
        request, self._may_follow, self._is_without_body = asked
        scheduler = self._server.scheduler
        reply = scheduler.answer_here(request)
        if reply is None:
            self._run = scheduler.answer_on_thread(request, self._deliver)
        else:
            self._answer(reply)

    def _deliver(self, reply: Reply) -> None:
        """A thread has answered, or an end was made of it."""
        self._run = None
        if self._is_open:
            self._answer(reply)
            self.flush()

    # Out

    def _answer(self, reply: Reply) -> None:
        self._is_closing = not self._may_follow or self._server.is_draining
        self._outgoing = response(
            reply, closes=self._is_closing, without_body=self._is_without_body
        )

    def _send(self) -> None:
        try:
            sent = self._socket.send(self._outgoing)
        except BlockingIOError:
            return
        except OSError:
            self._hung_up()
            return
        self._outgoing = memoryview(self._outgoing)[sent:] if sent < len(self._outgoing) else b""
        if self._is_closing and not self._outgoing:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """The client reads the last answer only if nothing of what it still sends is left unread:
        https://www.rfc-editor.org/rfc/rfc9112#section-9.6
        """
        try:
            self._socket.shutdown(SHUT_WR)
        except OSError:
            self.close()

    # On

    def _go_on(self) -> None:
        """Set the deadline, and what is watched, by what is waited for now."""
        if not self._is_open:
            return
        before = self._waits_for
        self._waits_for, seconds, events = self._awaited()
        if self._waits_for != before or before in (_READER, _NEXT):
            self.deadline = perf_counter() + seconds
        if events != self._events:
            self._watch(events)

    def _awaited(self) -> tuple[int, float, int]:
        """What is waited for, for how many seconds, and what it shows by."""
        server = self._server
        if self._outgoing:
            return _READER, server.keep_alive, EVENT_WRITE
        if self._is_closing:
            unread = self._reader.is_reading and not server.is_draining
            return _END, server.read_timeout if unread else LINGER_SECONDS, EVENT_READ
        if self._run or self._queue:
            return _ANSWER, _NEVER, 0 if self._queue else EVENT_READ
        if self._reader.is_reading:
            return _REQUEST, server.read_timeout, EVENT_READ
        return _NEXT, server.keep_alive, EVENT_READ

    def _watch(self, events: int) -> None:
        if self._events:
            self._server.loop.unwatch(self._socket)
        if events:
            self._server.loop.watch(self._socket, events, self.ready)
        self._events = events
