"""Plain HTTP/1.1 over the standard library: one request at a time, kept alive, no proxies."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from socket import SHUT_RDWR
from ssl import SSLCertVerificationError, SSLContext, create_default_context
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from http.client import HTTPResponse
    from socket import socket
    from typing import Final

    from inference_runtime.models.store import Request

# What a connection raises; a certificate that does not hold will not hold at the next try either.
NETWORK_ERRORS: Final = (OSError, HTTPException)
UNTRUSTED: Final = SSLCertVerificationError

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Connection:
    """A connection to whichever host the last request went to.

    Args:
        timeout: seconds without a byte before an operation fails.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._origin: tuple[str, str] | None = None
        self._http: HTTPConnection | None = None
        self._socket: socket | None = None
        self._answer: HTTPResponse | None = None

    def send(self, request: Request) -> HTTPResponse:
        """The answer, its body still to be read. Unless it is read whole before the next request,
        that one opens another connection.

        Raises:
            OSError: no answer came; one of ``NETWORK_ERRORS``.
        """
        url = urlsplit(request.url)
        unread = self._answer is not None and not self._answer.isclosed()
        if self._http is None or unread or self._origin != (url.scheme, url.netloc):
            self.close()
            self._http = _connection(url.scheme, url.hostname or "", url.port, self._timeout)
            self._origin = (url.scheme, url.netloc)
        target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
        try:
            self._http.request(request.method, target, headers=request.headers)
            self._socket = self._http.sock
            self._answer = self._http.getresponse()
        except NETWORK_ERRORS:
            self.close()
            raise
        return self._answer

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self._http is not None:
            self._http.close()
            self._http = self._socket = self._answer = None

    def abort(self) -> None:
        """End a read that another thread waits in."""
        if self._socket is not None:
            with suppress(OSError):  # it may be over already
                self._socket.shutdown(SHUT_RDWR)


def read(request: Request, timeout: float) -> tuple[int, bytes]:
    """Status and body of the answer to a single request.

    Raises:
        OSError: no answer came; one of ``NETWORK_ERRORS``.
    """
    connection = Connection(timeout)
    try:
        response = connection.send(request)
        return response.status, response.read()
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None, timeout: float) -> HTTPConnection:
    if scheme == "https":
        return HTTPSConnection(host, port, timeout=timeout, context=_tls())
    return HTTPConnection(host, port, timeout=timeout)


@cache
def _tls() -> SSLContext:
    """One for all connections: reading the certificates of the authorities takes 20 ms."""
    return create_default_context()
