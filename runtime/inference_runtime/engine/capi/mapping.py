"""A file in memory without a copy: read-only pages of the kernel's cache, read ahead by threads."""

from __future__ import annotations

import mmap
import os
from ctypes import CDLL, c_int, c_int64, c_size_t, c_void_p
from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Several requests at once are what a disk behind a network needs. A stripe is worth its thread.
MOST_READERS: Final = 4
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

    The content may still be on its way from the disk: what is used early waits for it. Threads have
    the kernel bring it, and map it in large pieces, which is cheaper than a fault for each page
    even where the file is in the page cache.

    Args:
        path: of the file: at least a byte long, and not changed while it is mapped.

    Attributes:
        address: of the first byte.
        size: in bytes.

    Raises:
        OSError: it cannot be read or mapped.
    """

    address = 0
    _file = -1

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._file).st_size
        self.address = _mapped(self._file, 0, self.size, 0)
        if not self.address:
            raise OSError(f"{path} cannot be mapped into memory")
        self._read_ahead()

    def __del__(self) -> None:
        if self.address:
            _unmap(self.address, self.size)
        if self._file >= 0:
            os.close(self._file)

    def _read_ahead(self) -> None:
        readers = min(MOST_READERS, -(-self.size // STRIPE_BYTES))
        stripe = -(-self.size // readers // mmap.PAGESIZE) * mmap.PAGESIZE
        for start in range(0, self.size, stripe):
            # A thread holds on to this object: what it reads stays mapped.
            Thread(
                target=self._bring, args=(start, min(stripe, self.size - start)), daemon=True
            ).start()

    def _bring(self, start: int, size: int) -> None:
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
