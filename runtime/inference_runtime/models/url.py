"""URLs taken apart and put together; importing ``urllib.parse`` takes longer than a round trip."""

from __future__ import annotations

from inference_runtime.errors import ModelNotLoaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"  # RFC 3986, section 2.3
)
_PRINTABLE = frozenset(range(0x21, 0x7F))
_PORTS = {"http": 80, "https": 443}


class Url:
    """A URL's parts.

    Attributes:
        scheme: ``http`` or ``https``.
        origin: host and port as written, without a user's name.
        host: name or address, without brackets.
        port: the scheme's own where none is written.
        path: percent-encoded, with its leading slash.
        query: percent-encoded; empty if there is none.
        user: what stands before an ``@``.

    Raises:
        ModelNotLoaded: it is no such URL.

    Example:
        >>> url = Url("https://example.org:8443/m.onnx?v=1")
        >>> url.host, url.port, url.path, url.query
        ('example.org', 8443, '/m.onnx', 'v=1')
    """

    __slots__ = ("host", "origin", "path", "port", "query", "scheme", "user")

    def __init__(self, url: str) -> None:
        self.scheme, _, rest = url.partition("#")[0].partition("://")
        rest, _, self.query = encode_rest(rest).partition("?")
        authority, slash, path = rest.partition("/")
        self.path = slash + path or "/"
        self.user, _, self.origin = authority.rpartition("@")
        host, colon, port = self.origin.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = self.origin, ""
        self.host = host.strip("[]")
        if self.scheme not in _PORTS or not self.host or not (port.isdecimal() or not port):
            raise ModelNotLoaded(f"{self.scheme}://{self.origin} is no address of a web server")
        self.port = int(port) if port else _PORTS[self.scheme]

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read or replace what comes from there."""
        return self.scheme == "https" or self.host in LOOPBACK_HOSTS


def encode(text: str, safe: str = "/") -> str:
    """Percent-encode all but letters, digits, ``-._~`` and ``safe``.

    Example:
        >>> encode("a b/ü")
        'a%20b/%C3%BC'
    """
    return _encode(text, _UNRESERVED | frozenset(safe.encode()))


def encode_rest(text: str) -> str:
    """Percent-encode what may not be in a URL at all, and nothing that is encoded already."""
    return _encode(text, _PRINTABLE)


def encode_query(parameters: Mapping[str, str]) -> str:
    """A query, its parameters in order of their names.

    Example:
        >>> encode_query({"prefix": "a b/", "max-keys": "2"})
        'max-keys=2&prefix=a%20b%2F'
    """
    return "&".join(f"{encode(k, '')}={encode(v, '')}" for k, v in sorted(parameters.items()))


def _encode(text: str, safe: frozenset[int]) -> str:
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in text.encode())
