"""Brings files into the page cache by threads, for whoever maps or loads them next."""

from __future__ import annotations

import os
from _thread import start_new_thread  # threading is not imported yet when the library is read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# Several requests at once are what a disk behind a network needs.
READERS: Final = 4
PIECE_BYTES: Final = 1 << 20
# A file is in the cache as a whole, or is not: few places tell, at a system call each.
PROBES: Final = 16

_NO_WAIT: Final = getattr(os, "RWF_NOWAIT", 0)  # Linux only


def read_ahead(path: str) -> None:
    """Begin to bring the file ``path``, from its start to its end, and return at once.

    Errors are left to those who need the file, and tell of them.
    """
    if not _NO_WAIT:
        return
    try:
        file = _File(path)
        if file.is_here():
            return
    except OSError:
        return
    pieces = iter(range(0, file.size, PIECE_BYTES))
    for _ in range(min(READERS, -(-file.size // PIECE_BYTES))):
        start_new_thread(file.bring, (pieces,))


class _File:
    """An open file, closed when nobody holds this object any more.

    Attributes:
        size: in bytes.
    """

    __slots__ = ("_descriptor", "size")

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._descriptor).st_size

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def is_here(self) -> bool:
        """Whether a byte at each of some places would not have to be waited for."""
        step = max(PIECE_BYTES, self.size // PROBES)
        try:
            for offset in range(0, self.size, step):
                os.preadv(self._descriptor, [bytearray(1)], offset, _NO_WAIT)
        except BlockingIOError:
            return False
        return True

    def bring(self, pieces: Iterator[int]) -> None:
        """Read one after the other; several threads share ``pieces``."""
        buffer = [bytearray(PIECE_BYTES)]
        try:
            for offset in pieces:
                os.preadv(self._descriptor, buffer, offset)
        except OSError:
            pass  # whoever needs the file gets it too, and tells
