"""Whom this process trusts over TLS; imported only where that is spoken."""

from __future__ import annotations

import os
from ssl import create_default_context, get_default_verify_paths
from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from ssl import SSLContext

_made: dict[str | None, SSLContext] = {}
_lock = Lock()


def contexts() -> Iterator[SSLContext]:
    """Trust in the authorities of this system, to be tried one after the other.

    To read the certificates of all takes 20 ms and more. Debian, for one, has each under the hash
    of its authority's name too, and there OpenSSL reads only the one that it needs. What somebody
    put into the file of all and not there is trusted by the last.
    """
    paths = get_default_verify_paths()
    named_by_user = paths.cafile not in (None, paths.openssl_cafile)
    if not named_by_user and paths.capath and _is_by_hash(paths.capath):
        yield _context(paths.capath)
    yield _context(None)


def _is_by_hash(folder: str) -> bool:
    return any(name.endswith(".0") for name in os.listdir(folder))


def _context(capath: str | None) -> SSLContext:
    """One for all connections, however many begin at the same time."""
    with _lock:
        if capath not in _made:
            _made[capath] = create_default_context(capath=capath)
        return _made[capath]
