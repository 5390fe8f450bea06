"""TLS at the server, for who stands in front of it."""

from __future__ import annotations

import ssl
from socket import socket

from inference_runtime.errors import InvalidSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

# The longest record of TLS: https://www.rfc-editor.org/rfc/rfc8446#section-5.1
_RECORD_BYTES: Final = 16_384


def tls_wrapper(certificate: str, key: str) -> Callable[[socket], socket]:
    """What makes of a client's socket one that speaks TLS, of the versions that Python takes for
    safe: 1.2 or newer.

    Args:
        certificate: the path of a PEM file.
        key: that of its key; empty where that is in the same file.

    Raises:
        InvalidSettings: they cannot be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = _TlsSocket
    try:
        context.load_cert_chain(certificate, key or None)
    except OSError as error:  # of which ssl.SSLError is one
        raise InvalidSettings(
            f"INFERENCE_TLS_CERTIFICATE {certificate} and INFERENCE_TLS_KEY {key or certificate}"
            f" cannot be used: {error.strerror or error}; give a certificate and its key, in PEM"
        ) from error
    return lambda client: context.wrap_socket(
        client, server_side=True, do_handshake_on_connect=False
    )


class _TlsSocket(ssl.SSLSocket):
    """Is read and written as any other socket that does not block. The handshake is made by the
    first reads.
    """

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read all that is there: the loop does not hear of records that OpenSSL has already."""
        view, size = memoryview(buffer), 0
        while len(view) - size >= _RECORD_BYTES:
            try:
                count = super().recv_into(view[size:], nbytes, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if size:
                    break
                raise BlockingIOError from None
            if not count:
                break
            size += count
        return size

    def send(self, data: Any, flags: int = 0) -> int:
        """Write as much as there is room for."""
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
