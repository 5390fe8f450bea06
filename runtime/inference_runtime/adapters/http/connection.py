"""One connection to the server, with bounds that uvicorn itself does not set.

uvicorn times idle connections only between two requests: a client that sends its request a byte
at a time, or none at all, would hold its connection for good, as would one that does not read its
answer, and headers may have any length.
"""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Any

from inference_runtime.adapters.http.lean_uvicorn import HttpToolsProtocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Transport
    from typing import Final

# As nginx's large_client_header_buffers in all, and what most proxies let through:
# https://nginx.org/en/docs/http/ngx_http_core_module.html#large_client_header_buffers
MOST_HEAD_BYTES: Final = 32_768

_REFUSAL = b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TIMED_OUT = _REFUSAL % b"408 Request Timeout"
_HEAD_TOO_LARGE = _REFUSAL % b"431 Request Header Fields Too Large"


class Connection(HttpToolsProtocol):
    """Drops a client whose request is not whole in time, or has an endless head, or who does not
    read its answer.

    Attributes:
        read_timeout_seconds: from a request's first byte, or the connection's start, to its last.
    """

    read_timeout_seconds = 30.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: TimerHandle | None = None
        self._is_reading = False
        self._is_in_head = False
        self._head_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget about the client."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, or several requests; only what stays open is timed."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_reading and self._head_bytes > MOST_HEAD_BYTES:
            self._drop(_HEAD_TOO_LARGE)
        elif self._is_reading or self._is_answered():
            self._start_timer()
        else:
            self._stop_timer()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for long, whether its last answer was read or not."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # To close would be to wait until it is read.
        else:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_reading = self._is_in_head = True

    def on_headers_complete(self) -> None:
        """What follows is the body, which the application bounds."""
        super().on_headers_complete()
        self._is_in_head = False
        self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        """What is read is not the head, and no trailer."""
        super().on_body(body)
        self._head_bytes = 0

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._is_reading = False
        self._head_bytes = 0

    def _is_answered(self) -> bool:
        """Whether no answer is due, as after the rest of a body that was refused."""
        return self.cycle is None or self.cycle.response_complete

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.read_timeout_seconds, self._drop, _TIMED_OUT)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._is_reading and (self._is_in_head or not self.cycle.response_started):
            self.transport.write(answer)
        self.transport.close()
