"""Connections, and what comes over them, for the clients that run before the first answer.

They are over the C module behind ``socket``, which itself imports ``enum`` and ``selectors``.
"""

from __future__ import annotations

from _socket import IPPROTO_TCP, MSG_WAITALL, SOCK_STREAM, TCP_NODELAY, getaddrinfo, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_MAX_LINE_BYTES: Final = 64 << 10
_RECEIVE_BYTES: Final = 16 << 10


def connect(host: str, port: int, timeout: float | None = None) -> socket:
    """A connection to the first of a host's addresses that takes one.

    Args:
        host: its name or address.
        port: of the server.
        timeout: seconds without a byte before an operation fails; never by default.

    Raises:
        OSError: none does.
    """
    failure = OSError(f"{host} has no address")
    # A host that is text would be encoded by the codec idna, which imports re and unicodedata.
    for family, kind, protocol, _, address in getaddrinfo(host.encode(), port, 0, SOCK_STREAM):
        connection = socket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            connection.connect(address)
            connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


class Stream:
    """What comes over a connection: first what was received with the lines before.

    Args:
        source: the connection, or an encrypted one.
    """

    __slots__ = ("_received", "_socket")

    def __init__(self, source: socket) -> None:
        self._socket = source
        self._received = b""

    def line(self) -> str:
        """The next line, without its end.

        Raises:
            OSError: none comes any more, or one that is longer than any of HTTP's.
        """
        while (end := self._received.find(b"\n")) < 0:
            more = self._socket.recv(_RECEIVE_BYTES)
            if not more or len(self._received) > _MAX_LINE_BYTES:
                raise ConnectionResetError("the connection ended before a line did")
            self._received += more
        line, self._received = self._received[:end], self._received[end + 1 :]
        return line.rstrip(b"\r").decode("latin-1")

    def headers(self) -> dict[str, str]:
        """The lines up to an empty one as HTTP's headers, by lower-case name.

        Raises:
            OSError: as ``line``.
        """
        headers = {}
        while line := self.line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def readinto(self, view: memoryview) -> int:
        """Fill the start of ``view``; the number of bytes, 0 only at the end.

        Raises:
            OSError: the connection broke off.
        """
        return self._take(view) if self._received else self._socket.recv_into(view)

    def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes, in one wait: not of an encrypted connection.

        Raises:
            OSError: they do not come.
        """
        content = bytearray(size)
        view = memoryview(content)
        filled = self._take(view)
        while filled < size:
            count = self._socket.recv_into(view[filled:], 0, MSG_WAITALL)
            if not count:
                missing = size - filled
                raise ConnectionResetError(f"the connection ended {missing:,} bytes too early")
            filled += count
        return bytes(content)

    def _take(self, view: memoryview) -> int:
        """Move what was received into the start of ``view``; the number of bytes."""
        count = min(len(view), len(self._received))
        view[:count] = self._received[:count]
        self._received = self._received[count:]
        return count
