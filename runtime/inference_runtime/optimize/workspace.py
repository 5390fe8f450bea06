"""Where `optimize` works: a folder beside its output, of which nothing is left in the end."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import ExitStack, contextmanager, suppress
from tempfile import TemporaryDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_PREFIX: Final = ".optimizing-"


@contextmanager
def workspace(parent: str) -> Iterator[str]:
    """An empty folder in ``parent``, removed afterwards; those of killed processes are at once.

    A living process holds a lock on its folder. Where the file system has no locks, what killed
    processes left stays.

    Raises:
        OSError: ``parent`` cannot be written.
    """
    with ExitStack() as stack:
        with _locked(parent):  # else another could find the new folder before that is locked
            _remove_leftovers(parent)
            folder = stack.enter_context(TemporaryDirectory(prefix=_PREFIX, dir=parent))
            stack.enter_context(_locked(folder))
        yield folder


def _remove_leftovers(parent: str) -> None:
    with os.scandir(parent) as entries:
        folders = [entry.path for entry in entries if entry.name.startswith(_PREFIX)]
    for folder in folders:
        with suppress(OSError), _open(folder, os.O_NOFOLLOW) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    with _open(folder) as descriptor:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def _open(folder: str, flags: int = 0) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
