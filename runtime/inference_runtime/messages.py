"""What adapters and data plane pass to each other: a request and a reply, whatever carried them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference_runtime.engine import Cancellation


class Request:
    """A request, whatever brought it.

    Attributes:
        method: in capitals.
        path: from the root, without stage or query.
        headers: by lower-case name.
        body: as sent, after any transfer encoding of the platform's envelope.
        request_id: the platform's own id.
        cancellation: ends the run from another thread, where the host has deadlines.
        received: when the request was whole, on the ``time.perf_counter`` clock, where it then
            waits for its turn.

    Example:
        >>> Request("POST", "/predict", {}, b'{"features": [1, 2, 3]}', "request-1")
    """

    __slots__ = ("body", "cancellation", "headers", "method", "path", "received", "request_id")

    def __init__(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        request_id: str,
        cancellation: Cancellation | None = None,
        received: float | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.request_id = request_id
        self.cancellation = cancellation
        self.received = received


class Reply:
    """An answer, whatever carries it back.

    Attributes:
        status: the HTTP status.
        headers: by lower-case name.
        body: the bytes; UTF-8 text unless ``is_binary``.
        is_binary: whether an envelope that holds text only must encode the body.

    Example:
        >>> Reply(200, {"content-type": "application/json"}, b'{"status": "ok"}')
    """

    __slots__ = ("body", "headers", "is_binary", "status")

    def __init__(
        self, status: int, headers: dict[str, str], body: bytes, *, is_binary: bool = False
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.is_binary = is_binary
