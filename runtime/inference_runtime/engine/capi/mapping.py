"""A file in memory without a copy: read-only pages of the kernel's cache."""

from __future__ import annotations

import mmap
import os
from ctypes import CDLL, c_int, c_int64, c_size_t, c_void_p
from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

# What is mapped at once: in between, other threads may change the process's memory.
STRIPE_BYTES: Final = 16 << 20

_FAILED: Final = c_void_p(-1).value
_POPULATE: Final = getattr(mmap, "MAP_POPULATE", 0)  # Linux only
_POPULATE_READ: Final = 22  # madvise(2), since Linux 5.14

_libc = CDLL(None)
_map = _libc.mmap
_map.restype = c_void_p
_map.argtypes = (c_void_p, c_size_t, c_int, c_int, c_int, c_int64)
_unmap = _libc.munmap
_unmap.argtypes = (c_void_p, c_size_t)
_advise = _libc.madvise
_advise.argtypes = (c_void_p, c_size_t, c_int)


class MappedFile:
    """A file's content at an address, for as long as this object lives.

    The content may still be on its way from the disk: what is used early waits for it.

    Args:
        path: of the file: at least a byte long, and not changed while it is mapped.

    Attributes:
        path: as it was given.
        address: of the first byte.
        size: in bytes.

    Raises:
        OSError: it cannot be read or mapped.
    """

    address = 0
    _file = -1

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._file).st_size
        self.address = _mapped(self._file, 0, self.size, 0)
        if not self.address:
            raise OSError(f"{path} cannot be mapped into memory")

    def __del__(self) -> None:
        if self.address:
            _unmap(self.address, self.size)
        if self._file >= 0:
            os.close(self._file)

    def bring(self, parts: Iterable[tuple[int, int]]) -> None:
        """Have a thread map pages that will be needed, and so spare the first run an interrupt for
        every sixteen of them.

        Args:
            parts: start and size of each, in bytes.
        """
        # The thread holds on to this object: what it maps stays.
        Thread(target=self._bring, args=(list(parts),), daemon=True).start()

    def _bring(self, parts: list[tuple[int, int]]) -> None:
        for start, size in parts:
            first = start // mmap.PAGESIZE * mmap.PAGESIZE
            for stripe in range(first, start + size, STRIPE_BYTES):
                self._bring_stripe(stripe, min(STRIPE_BYTES, start + size - stripe))

    def _bring_stripe(self, start: int, size: int) -> None:
        if _advise(self.address + start, size, _POPULATE_READ) == 0:
            return
        # An older kernel brings the pages to another place: into its cache at least.
        copy = _mapped(self._file, start, size, _POPULATE)
        if copy:
            _unmap(copy, size)


def _mapped(file: int, start: int, size: int, flags: int) -> int:
    """The address of a part of the file; 0 where it cannot be mapped."""
    address: int = _map(None, size, mmap.PROT_READ, mmap.MAP_SHARED | flags, file, start)
    return 0 if address == _FAILED else address
