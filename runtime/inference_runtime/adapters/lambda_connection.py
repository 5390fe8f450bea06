"""HTTP/1.1 over one kept connection, as much of it as Lambda's Runtime API speaks.

By hand, because it runs before the first answer: ``http.client`` and what it imports take as long
as everything else here together (``bench/lambda_runtime.py``).
"""

from __future__ import annotations

from _socket import SHUT_RD

from inference_runtime.sockets import Stream, connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_NO_HEADERS: Final[Mapping[str, str]] = {}


class Response:
    """An answer.

    Attributes:
        status: of HTTP.
        headers: by lower-case name.
        body: the whole of it.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Connection:
    """A connection that is kept from one request to the next, and renewed if the server ends it.

    Args:
        address: ``host:port``.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._interrupted = False
        self._connect()

    def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes = b"",
        *,
        chunked: bool = False,
    ) -> Response:
        """Send a request and wait for its answer.

        Args:
            method: of HTTP.
            path: with its leading slash.
            headers: the request's own.
            body: the whole of it.
            chunked: whether it is sent in HTTP's chunked form, as one chunk.

        Raises:
            ConnectionError: the connection was lost, and so was the new one that was tried; or
                ``interrupt`` was called.
        """
        request = self._head(method, path, headers, f"content-length: {len(body)}") + body
        if chunked:
            head = self._head(method, path, headers, "transfer-encoding: chunked")
            request = b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body)
        try:
            return self._exchange(request)
        except ConnectionError:
            self.close()
            self._connect()
            return self._exchange(request)

    def send(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Send a request without a body, and wait for no answer."""
        self._socket.sendall(self._head(method, path, headers, "content-length: 0"))

    def interrupt(self) -> None:
        """From another thread: let whoever waits for an answer wait no longer."""
        self._interrupted = True
        try:  # noqa: SIM105 - contextlib is not imported before the first answer
            self._socket.shutdown(SHUT_RD)
        except OSError:
            pass  # the server has ended the connection

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _connect(self) -> None:
        if self._interrupted:
            raise ConnectionAbortedError("interrupted")
        self._socket = connect(self._host, self._port)
        self._stream = Stream(self._socket)

    def _head(self, method: str, path: str, headers: Mapping[str, str], framing: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}:{self._port}", framing]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _exchange(self, request: bytes) -> Response:
        self._socket.sendall(request)
        return self._receive()

    def _receive(self) -> Response:
        stream = self._stream
        status = int(stream.line().split(" ", 2)[1])
        headers = stream.headers()
        return Response(status, headers, self._body(headers))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        stream = self._stream
        if headers.get("transfer-encoding") != "chunked":
            return stream.exactly(int(headers.get("content-length", "0")))
        chunks = []
        while size := int(stream.line(), 16):
            chunks.append(stream.exactly(size))
            stream.line()
        stream.line()
        return b"".join(chunks)
