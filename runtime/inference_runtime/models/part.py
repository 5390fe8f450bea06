"""A file on its way: written in ranges, in any order, and resumed after a crash.

A ``.part`` file is the content, then one byte for each range, 1 once it is whole, then a text that
says what the content is. So one file holds all that another process needs to go on; a kill
at any point costs the ranges that were not whole.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap

from inference_runtime.errors import ModelNotLoaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SUFFIX: Final = ".part"


def not_stored(uri: str, path: str, error: OSError) -> ModelNotLoaded:
    """The error for content that cannot be written to ``path``."""
    return ModelNotLoaded(
        f"{uri} cannot be stored in {path}: {error.strerror or error}. Give its file system more"
        " space, or name a folder on another one with INFERENCE_CACHE_DIR"
    )


class Part:
    """The unfinished form of a file.

    Args:
        path: of the finished file; this one is beside it, with ``.part`` at its end.
        size: of the content in bytes, at least 1.
        range_bytes: size of a range; the last may be shorter.
        identity: tells this content from any other that the file might hold.

    Attributes:
        count: number of ranges.
        resumed: whether it goes on where another stopped.

    Raises:
        OSError: it cannot be made; no space is left, for example.
    """

    def __init__(self, path: str, size: int, range_bytes: int, identity: str) -> None:
        self._target = path
        self.path = path + SUFFIX
        self.size = size
        self.count = -(-size // range_bytes)
        self._range_bytes = range_bytes
        self._identity = f"{range_bytes} {identity}".encode()
        self._file = -1
        self._file = self._open()
        self.resumed = self._is_resumable()
        if not self.resumed:
            self._begin()

    def __del__(self) -> None:
        self.close()

    def missing(self) -> list[int]:
        """The ranges that are not whole yet, in order."""
        flags = os.pread(self._file, self.count, self.size)
        return [index for index, flag in enumerate(flags) if not flag]

    def bounds(self, index: int) -> tuple[int, int]:
        """Where a range starts, and where it ends: the position after its last byte."""
        start = index * self._range_bytes
        return start, min(start + self._range_bytes, self.size)

    def write(self, data: memoryview, position: int) -> None:
        """Write content.

        Raises:
            OSError: no space is left, for example.
        """
        while data:
            written = os.pwrite(self._file, data, position)
            data = data[written:]
            position += written

    def complete(self, index: int) -> None:
        """Remember that a range is whole."""
        os.pwrite(self._file, b"\1", self.size + index)

    def map(self) -> mmap:
        """The content, to read."""
        return mmap(self._file, self.size, access=ACCESS_READ)

    def publish(self) -> None:
        """Make it the finished file, at once for everyone who looks."""
        os.ftruncate(self._file, self.size)
        os.rename(self.path, self._target)
        self.close()

    def close(self) -> None:
        """Let it go, to be resumed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _is_resumable(self) -> bool:
        end = self.size + self.count
        if os.fstat(self._file).st_size != end + len(self._identity):
            return False
        return os.pread(self._file, len(self._identity), end) == self._identity

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)

    def _begin(self) -> None:
        """Start anew. The text comes last: without it the file is not resumable."""
        if os.fstat(self._file).st_size:
            self._replace()
        end = self.size + self.count
        os.ftruncate(self._file, end)
        os.pwrite(self._file, self._identity, end)

    def _replace(self) -> None:
        """Have a new file in the old one's place. A file that was ever cut to nothing is written to
        the medium by ext4 when it is closed, which takes as long as fetching it.
        """
        os.unlink(self.path)
        self.close()
        self._file = self._open()
