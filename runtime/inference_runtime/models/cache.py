"""Fetched models on this machine's disk: shared by processes, bounded in bytes, safe to kill.

Each entry is a folder ``<key>`` and a file ``<key>.lock`` beside it. Who fills or removes an entry
holds its lock alone; who uses it holds the lock with others, for as long as the model is loaded.
The kernel lets a lock go when its process ends, however it ends.

A file appears in an entry only when it is whole. So a kill leaves at most ``.part`` files, which
the next fetch of the same content resumes and any other removes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from stat import S_ISDIR, S_IWOTH
from time import monotonic, sleep

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.part import SUFFIX as PART_SUFFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

# As long as the longest function of AWS Lambda runs: a fetch by another process is over by then.
LOCK_TIMEOUT_SECONDS: Final = 900

_LOCK_SUFFIX = ".lock"
_POLL_SECONDS = 0.01
_BLOCK_BYTES = 512  # of st_blocks: stat(3type)


class Lease:
    """An entry in use: it is not removed before ``close``, or the end of the process.

    Attributes:
        folder: with the entry's files.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._file = -1
        self._file = os.open(folder + _LOCK_SUFFIX, os.O_RDWR | os.O_CREAT, 0o600)

    def __del__(self) -> None:
        self.close()

    def lock(self, kind: int) -> None:
        """Take the lock, or change its kind: ``LOCK_SH`` or ``LOCK_EX``.

        Raises:
            ModelNotLoaded: others have held it for too long.
        """
        end = monotonic() + LOCK_TIMEOUT_SECONDS
        while not self.try_lock(kind):
            if monotonic() > end:
                raise ModelNotLoaded(
                    f"{self.folder} is locked by another process for more than"
                    f" {LOCK_TIMEOUT_SECONDS} s: end that process, or remove the folder"
                )
            sleep(_POLL_SECONDS)

    def try_lock(self, kind: int) -> bool:
        """Whether the lock could be had at once."""
        try:
            flock(self._file, kind | LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @property
    def removed(self) -> bool:
        """Whether the entry was removed before its lock could be had."""
        return os.fstat(self._file).st_nlink == 0

    def touch(self) -> None:
        """Remember that the entry was used now."""
        os.utime(self._file)

    def remove(self) -> None:
        """Remove the entry, which is locked alone; its lock last, so that a kill leaves nothing
        that no lock protects.
        """
        for folder, _, files in os.walk(self.folder, topdown=False):
            for name in files:
                os.unlink(os.path.join(folder, name))
            os.rmdir(folder)
        os.unlink(self.folder + _LOCK_SUFFIX)

    def close(self) -> None:
        """Let the entry go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _Entry:
    """What is seen of an entry without its lock: another process may be changing it."""

    def __init__(self, folder: str, used_at: float) -> None:
        self.folder = folder
        self.used_at = used_at
        files = _stats(self.folder)
        self.size = sum(stat.st_size for stat in files.values())
        self.interrupted = any(path.endswith(PART_SUFFIX) for path in files)


class DiskCache:
    """Entries in one folder of this user's.

    Args:
        parent: where that folder is, or will be.
        limit: bytes of all entries together; ``None`` for as much as the file system holds.
    """

    def __init__(self, parent: str, limit: int | None) -> None:
        self.folder = os.path.join(parent, f"inference-runtime-{os.geteuid()}")
        self._limit = limit

    def use(
        self, key: str, is_complete: Callable[[str], bool], fill: Callable[[str], None]
    ) -> Lease:
        """The entry of a key, filled first where it is not complete yet.

        Args:
            key: a name of letters, digits and ``-``.
            is_complete: of its folder.
            fill: makes its folder complete. It runs in one process at a time; what it leaves when
                it fails is removed.

        Raises:
            ModelNotLoaded: another user could have put files into the cache, or another process
                holds the entry for too long.
            OSError: the cache cannot be written.
        """
        self._make_folder()
        while True:
            lease = Lease(os.path.join(self.folder, key))
            lease.lock(LOCK_SH)
            if not lease.removed and is_complete(lease.folder):
                lease.touch()
                return lease
            lease.lock(LOCK_EX)
            if not lease.removed and not is_complete(lease.folder):
                self._fill(lease, fill)
            lease.close()

    def make_room(self, folder: str, size: int, uri: str) -> None:
        """Remove entries that nobody uses, the longest unused first, until ``size`` bytes fit.

        What an interrupted fetch left in other entries goes first, and always.

        Args:
            folder: of the entry that is to grow to that size.
            size: of the whole entry.
            uri: of its model, for the message.

        Raises:
            ModelNotLoaded: they do not fit, even so.
        """
        others = [entry for entry in self._entries() if entry.folder != folder]
        others = [entry for entry in others if not (entry.interrupted and _evict(entry.folder))]
        others.sort(key=lambda entry: entry.used_at, reverse=True)
        used = sum(entry.size for entry in others)
        free = self._free(folder)
        if size > min(free + used, self._limit or size):
            raise self._no_room(size, used, free, uri)
        while (self._limit is not None and used + size > self._limit) or size > free:
            if not others:
                raise self._no_room(size, used, free, uri)
            entry = others.pop()
            if _evict(entry.folder):
                used -= entry.size
                free = self._free(folder)

    def _entries(self) -> list[_Entry]:
        entries = []
        for name in os.listdir(self.folder):
            lock = os.path.join(self.folder, name)
            with suppress(FileNotFoundError):  # another process removes it
                if name.endswith(_LOCK_SUFFIX):
                    entries.append(_Entry(lock.removesuffix(_LOCK_SUFFIX), os.stat(lock).st_mtime))
        return entries

    def _free(self, folder: str) -> int:
        """Bytes of the file system for an entry, with those that it has already."""
        disk = os.statvfs(self.folder)
        own = sum(stat.st_blocks * _BLOCK_BYTES for stat in _stats(folder).values())
        return disk.f_bavail * disk.f_frsize + own

    def _no_room(self, size: int, used: int, free: int, uri: str) -> ModelNotLoaded:
        limit = "" if self._limit is None else f" of {self._limit:,} (INFERENCE_DISK_CACHE_BYTES)"
        return ModelNotLoaded(
            f"{uri} needs {size:,} bytes in {self.folder}: its file system has {free:,} free, and"
            f" other models take {used:,}{limit}. Give it more space (Lambda: ephemeral storage),"
            " or name a folder on another file system with INFERENCE_CACHE_DIR"
        )

    def _fill(self, lease: Lease, fill: Callable[[str], None]) -> None:
        try:
            os.makedirs(lease.folder, 0o700, exist_ok=True)
            fill(lease.folder)
        except BaseException:
            lease.remove()
            raise

    def _make_folder(self) -> None:
        """In a parent that all may write, like /tmp, the name may be taken by somebody else."""
        os.makedirs(self.folder, 0o700, exist_ok=True)
        found = os.lstat(self.folder)
        shared = os.stat(os.path.dirname(self.folder)).st_mode & S_IWOTH
        if not S_ISDIR(found.st_mode) or (shared and found.st_uid != os.geteuid()):
            raise ModelNotLoaded(
                f"{self.folder} does not belong to this user, and models in it cannot be trusted:"
                " remove it, or name another folder with INFERENCE_CACHE_DIR"
            )


def _evict(folder: str) -> bool:
    """Remove an entry unless somebody uses it; whether it is gone."""
    lease = Lease(folder)
    try:
        if not lease.try_lock(LOCK_EX):
            return False
        if not lease.removed:
            lease.remove()
        return True
    finally:
        lease.close()


def _stats(folder: str) -> dict[str, os.stat_result]:
    """Every file below a folder, less those that another process renames or removes meanwhile."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with suppress(FileNotFoundError):
                found[path] = os.stat(path)
    return found
