"""HTTP/1.1 requests over one connection that is kept; no proxies.

By hand, because it runs before the first answer: ``http.client`` parses headers with the package
``email``, whose import takes longer than a small model's way over the network.
"""

from __future__ import annotations

from _socket import SHUT_RDWR
from contextlib import suppress

from inference_runtime.models.url import Url
from inference_runtime.sockets import Stream, connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Final

    from inference_runtime.models.store import Request

_RECEIVE_BYTES: Final = 16 << 10
_NO_BODY: Final = frozenset({204, 304})


class Untrusted(Exception):
    """The server's certificate does not hold, and will not at the next try either."""


class BrokenAnswer(OSError):
    """What came is not HTTP, or not all of it."""


class Answer:
    """An answer, its body still to be read.

    Attributes:
        status: of HTTP.
        reason: the server's words for it.
        headers: by lower-case name.
        is_read: whether the body was read to its end.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        _, _, rest = stream.line().partition(" ")
        status, _, self.reason = rest.partition(" ")
        if not status.isdecimal():
            raise BrokenAnswer("the server does not speak HTTP")
        self.status = int(status)
        self.headers = stream.headers()
        self._is_chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        # Of the body, or of the chunk at hand; None where only the end of the connection ends it.
        self._left = self._length()
        self.is_read = self._left == 0 and not self._is_chunked

    def readinto(self, view: memoryview) -> int:
        """Fill the start of ``view``; the number of bytes, 0 only at the end of the body.

        Raises:
            OSError: the connection broke off.
        """
        if self._is_chunked and self._left == 0 and not self.is_read:
            self._left = self._next_chunk()
        if self._left == 0 or self.is_read:
            self.is_read = True
            return 0
        count = self._stream.readinto(view if self._left is None else view[: self._left])
        if self._left is None:
            self.is_read = not count
        else:
            self._left -= count
            self.is_read = self._left == 0 and not self._is_chunked
        if not count and not self.is_read:
            raise BrokenAnswer(f"the answer broke off with {self._left:,} bytes still to come")
        return count

    def read(self, limit: int) -> bytes:
        """The body, or its first ``limit`` bytes."""
        content = bytearray()
        piece = memoryview(bytearray(_RECEIVE_BYTES))
        while len(content) < limit and (count := self.readinto(piece[: limit - len(content)])):
            content += piece[:count]
        return bytes(content)

    def _length(self) -> int | None:
        if self._is_chunked or self.status in _NO_BODY:
            return 0
        length = self.headers.get("content-length", "")
        return int(length) if length.isdecimal() else None

    def _next_chunk(self) -> int:
        line = self._stream.line() or self._stream.line()  # each chunk ends with an empty one
        try:
            size = int(line.partition(";")[0], 16)
        except ValueError:
            raise BrokenAnswer("a chunk has no size") from None
        while size == 0 and self._stream.line():
            pass  # trailers
        return size


class Connection:
    """A connection to whichever server the last request went to.

    Args:
        timeout: seconds without a byte before an operation fails.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._origin = ""
        self._socket: socket | None = None
        self._answer: Answer | None = None

    def send(self, request: Request) -> Answer:
        """The answer, its body still to be read. Unless it is read whole before the next request,
        that one opens another connection.

        Raises:
            OSError: no answer came.
            Untrusted: the server is not the one that it should be.
        """
        url = Url(request.url)
        kept = self._kept(f"{url.scheme}://{url.origin}")
        if kept is None:
            self.close()
            kept = self._socket = _connect(url, self._timeout)
            self._origin = f"{url.scheme}://{url.origin}"
        try:
            kept.sendall(_head(request, url) + request.body)
            self._answer = Answer(Stream(kept))
        except OSError:
            self.close()
            raise
        return self._answer

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = self._answer = None

    def abort(self) -> None:
        """End a read that another thread waits in."""
        kept = self._socket
        if kept is not None:
            with suppress(OSError):  # it may be over
                kept.shutdown(SHUT_RDWR)

    def _kept(self, origin: str) -> socket | None:
        """The socket, if another request can go over it."""
        last = self._answer
        if origin != self._origin or last is None or not last.is_read:
            return None
        return None if last.headers.get("connection", "").lower() == "close" else self._socket


def read(request: Request, timeout: float, limit: int = 1 << 20) -> tuple[int, bytes]:
    """Status and body of the answer to a single request.

    Raises:
        OSError: no answer came.
    """
    connection = Connection(timeout)
    try:
        answer = connection.send(request)
        return answer.status, answer.read(limit)
    finally:
        connection.close()


def _connect(url: Url, timeout: float) -> socket:
    if url.scheme == "https":
        return _trusted(url, timeout)
    return connect(url.host, url.port, timeout)


def _trusted(url: Url, timeout: float) -> socket:
    """An encrypted connection, which ``ssl`` makes of a socket of the module that it imports."""
    import socket as sockets
    from ssl import SSLCertVerificationError

    from inference_runtime.models.trust import contexts

    for context in contexts():
        plain = sockets.socket(fileno=connect(url.host, url.port, timeout).detach())
        plain.settimeout(timeout)
        try:
            return context.wrap_socket(plain, server_hostname=url.host)
        except SSLCertVerificationError as error:
            failure = error
    raise Untrusted(str(failure)) from failure


def _head(request: Request, url: Url) -> bytes:
    target = f"{url.path}?{url.query}" if url.query else url.path
    lines = [f"{request.method} {target} HTTP/1.1", f"host: {url.origin}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if request.method != "GET":
        lines.append(f"content-length: {len(request.body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
