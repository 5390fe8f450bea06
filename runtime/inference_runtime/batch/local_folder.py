"""A folder on this machine."""

from __future__ import annotations

import os

from inference_runtime.batch.folder import File
from inference_runtime.errors import BatchFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Final

_UNFINISHED: Final = ".part"


class LocalFolder:
    """See ``Folder``.

    Args:
        path: of the folder; it is made when something is written.
    """

    def __init__(self, path: str) -> None:
        self.uri = os.path.join(path, "")

    def files(self, below: str = "") -> list[File]:
        """See ``Folder``."""
        folder = os.path.join(self.uri, below)
        if below and not os.path.isdir(folder):
            return []  # nothing was written there yet
        try:
            return [
                self._file(os.path.join(parent, name))
                for parent, _, names in os.walk(folder, onerror=_raise, followlinks=True)
                for name in names
                if not name.endswith(_UNFINISHED)
            ]
        except OSError as error:
            raise BatchFailed(
                f"{error.filename} cannot be read: {error.strerror or error}"
            ) from error

    def open(self, file: File) -> BinaryIO:
        """See ``Folder``."""
        return open(os.path.join(self.uri, file.name), "rb")

    def write(self, name: str, content: bytes | bytearray) -> None:
        """See ``Folder``."""
        path = os.path.join(self.uri, name)
        unfinished = f"{path}.{os.getpid()}{_UNFINISHED}"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(unfinished, "wb") as target:
                target.write(content)
            os.replace(unfinished, path)
        except OSError as error:
            raise BatchFailed(f"{path} cannot be written: {error.strerror or error}") from error

    def _file(self, path: str) -> File:
        stat = os.stat(path)
        name = os.path.relpath(path, self.uri).replace(os.sep, "/")
        return File(name, stat.st_size, f"{stat.st_size} {stat.st_mtime_ns}")


def _raise(error: OSError) -> None:
    raise error
