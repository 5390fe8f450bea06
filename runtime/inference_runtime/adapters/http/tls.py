"""TLS at the server, for who stands in front of it."""

from __future__ import annotations

import ssl

from inference_runtime.errors import InvalidSettings


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """What Python takes for safe: TLS 1.2 or newer.

    Args:
        certificate: the path of a PEM file.
        key: that of its key; empty where that is in the same file.

    Raises:
        InvalidSettings: they cannot be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key or None)
    except OSError as error:  # of which ssl.SSLError is one
        raise InvalidSettings(
            f"INFERENCE_TLS_CERTIFICATE {certificate} and INFERENCE_TLS_KEY {key or certificate}"
            f" cannot be used: {error.strerror or error}; give a certificate and its key, in PEM"
        ) from error
    return context
