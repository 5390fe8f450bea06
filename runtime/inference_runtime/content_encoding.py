"""Compressed request bodies, with a bound on what they expand to."""

from __future__ import annotations

from inference_runtime.errors import MalformedBody, PayloadTooLarge, UnsupportedEncoding

# zlib's window bits for each: 32 and more detects the gzip and the zlib header by itself.
_WINDOW_BITS = {"gzip": 47, "x-gzip": 47, "deflate": 47}


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before the ``Content-Encoding`` was put on.

    Args:
        body: as received.
        encoding: the header's value: ``identity``, ``gzip`` or ``deflate``.
        limit: bytes that the result may have.

    Raises:
        UnsupportedEncoding: it is none of those.
        MalformedBody: the body is not of that encoding, or is cut off.
        PayloadTooLarge: it expands to more than ``limit``; nothing beyond that is expanded.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _WINDOW_BITS:
        raise UnsupportedEncoding(
            f"Content-Encoding {encoding!r} is not read; send gzip, deflate or identity"
        )
    import zlib

    decoder = zlib.decompressobj(_WINDOW_BITS[name])
    try:
        expanded = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise MalformedBody(
            f"the body is not {name}, as its Content-Encoding says: {error}"
        ) from None
    if len(expanded) > limit:
        raise PayloadTooLarge(f"the body expands to more than the {limit:,} bytes that are allowed")
    if not decoder.eof or decoder.unused_data:
        raise MalformedBody(f"the {name} body is cut off, or has something behind it")
    return expanded
