"""Compressed request bodies, with a bound on what they expand to."""

from __future__ import annotations

from inference_runtime.errors import MalformedBody, PayloadTooLarge, UnsupportedEncoding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_GZIP: Final = ("gzip", "x-gzip")
# zlib's: 32 and more detects the gzip and the zlib header by itself.
_WINDOW_BITS: Final = 47
# A gzip body is one after the other (https://www.rfc-editor.org/rfc/rfc1952#section-2.2), as those
# have it who compress on several processors. Each begins with a copy of all that is left.
_MOST_MEMBERS: Final = 100


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
    if name not in (*_GZIP, "deflate"):
        raise UnsupportedEncoding(
            f"Content-Encoding {encoding!r} is not read; send gzip, deflate or identity"
        )
    return _expanded(body, name, limit)


def _expanded(body: bytes, name: str, limit: int) -> bytes:
    """What is in each of the members of ``body``, which are more than one in gzip alone."""
    import zlib

    expanded = b""
    for _ in range(_MOST_MEMBERS if name in _GZIP else 1):
        decoder = zlib.decompressobj(_WINDOW_BITS)
        try:
            expanded += decoder.decompress(body, limit + 1 - len(expanded))
        except zlib.error as error:
            raise MalformedBody(
                f"the body is not {name}, as its Content-Encoding says: {error}"
            ) from None
        if len(expanded) > limit:
            raise PayloadTooLarge(
                f"the body expands to more than the {limit:,} bytes that are allowed"
            )
        if not decoder.eof:
            break
        body = decoder.unused_data
        if not body:
            return expanded
    raise MalformedBody(f"the {name} body is cut off, or has something behind it")
