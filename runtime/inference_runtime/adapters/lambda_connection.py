"""HTTP/1.1 over one kept connection, as much of it as Lambda's Runtime API speaks.

By hand, because it runs before the first answer: ``http.client`` and what it imports take as long
as everything else here together (``bench/lambda_runtime.py``). For the same reason it is written
over the C module behind ``socket``, which itself imports ``enum`` and ``selectors``.
"""

from __future__ import annotations

from _socket import IPPROTO_TCP, SHUT_RD, SOCK_STREAM, TCP_NODELAY, getaddrinfo, socket
from io import BufferedReader, RawIOBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from _typeshed import WriteableBuffer

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
        self._reader.close()
        self._socket.close()

    def _connect(self) -> None:
        if self._interrupted:
            raise ConnectionAbortedError("interrupted")
        self._socket = _connected(self._host, self._port)
        self._socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._reader = BufferedReader(_Received(self._socket))

    def _head(self, method: str, path: str, headers: Mapping[str, str], framing: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}:{self._port}", framing]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _exchange(self, request: bytes) -> Response:
        self._socket.sendall(request)
        return self._receive()

    def _receive(self) -> Response:
        status_line = self._line()
        status = int(status_line.split(b" ", 2)[1])
        headers = {}
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Response(status, headers, self._body(headers))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._exactly(int(headers.get("content-length", "0")))
        chunks = []
        while size := int(self._line(), 16):
            chunks.append(self._exactly(size))
            self._line()
        self._line()
        return b"".join(chunks)

    def _line(self) -> bytes:
        line = self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the connection ended inside a message")
        return line.rstrip(b"\r\n")

    def _exactly(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) != size:
            raise ConnectionResetError("the connection ended inside a message")
        return data


class _Received(RawIOBase):
    """What a socket receives, to be read through a buffer."""

    def __init__(self, connected: socket) -> None:
        self._socket = connected

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._socket.recv_into(buffer)


def _connected(host: str, port: int) -> socket:
    # A host that is text would be encoded by the codec idna, which imports re and unicodedata.
    error: OSError | None = None
    for family, kind, protocol, _, address in getaddrinfo(host.encode(), port, 0, SOCK_STREAM):
        connection = socket(family, kind, protocol)
        try:
            connection.connect(address)
        except OSError as raised:
            connection.close()
            error = raised
        else:
            return connection
    raise error or ConnectionError(f"{host} has no address")
