"""SHA-256 of what is small, by the interpreter's own code: to load OpenSSL's takes longer."""

from __future__ import annotations

try:
    from _sha2 import sha256  # type: ignore[import-not-found]
except ImportError:  # before Python 3.12
    from _sha256 import sha256  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["hmac_sha256", "sha256"]

_BLOCK_BYTES: Final = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """The HMAC of a message: RFC 2104.

    Example:
        >>> hmac_sha256(b"key", b"message").hex()[:8]
        '6e9ef29b'
    """
    if len(key) > _BLOCK_BYTES:
        key = sha256(key).digest()
    key = key.ljust(_BLOCK_BYTES, b"\0")
    inner = sha256(key.translate(_INNER) + message).digest()
    return sha256(key.translate(_OUTER) + inner).digest()  # type: ignore[no-any-return]
