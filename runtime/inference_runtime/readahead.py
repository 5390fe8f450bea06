"""Brings files into the page cache by threads, for whoever maps or loads them next.

What is there already costs a system call for each piece, and no copy.
"""

from __future__ import annotations

import os
from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# Several requests at once are what a disk behind a network needs.
READERS: Final = 4
PIECE_BYTES: Final = 1 << 20

_NO_WAIT: Final = getattr(os, "RWF_NOWAIT", 0)  # Linux only


def read_ahead(path: str) -> None:
    """Begin to bring the file ``path``, from its start to its end, and return at once.

    Errors are left to those who need the file, and tell of them.
    """
    if not _NO_WAIT:
        return
    try:
        file = _File(path)
        missing = file.missing_pieces()
    except OSError:
        return
    pieces = iter(missing)
    for _ in missing[:READERS]:
        Thread(target=file.bring, args=(pieces,), daemon=True).start()


class _File:
    """An open file, closed when nobody holds this object any more."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def missing_pieces(self) -> list[int]:
        """Where those begin whose first byte would have to be waited for."""
        size = os.fstat(self._descriptor).st_size
        return [at for at in range(0, size, PIECE_BYTES) if not self._is_here(at)]

    def _is_here(self, offset: int) -> bool:
        try:
            os.preadv(self._descriptor, [bytearray(1)], offset, _NO_WAIT)
        except BlockingIOError:
            return False
        return True

    def bring(self, pieces: Iterator[int]) -> None:
        """Read one after the other; several threads share ``pieces``."""
        buffer = [bytearray(PIECE_BYTES)]
        for offset in pieces:
            os.preadv(self._descriptor, buffer, offset)
