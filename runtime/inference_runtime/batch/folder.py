"""Where inputs are read and results written: a folder on this machine or in a bucket."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Protocol

    from inference_runtime.settings import Settings

    class Folder(Protocol):
        """A folder of files.

        Attributes:
            uri: of the folder, with a ``/`` at its end.
        """

        uri: str

        def files(self, below: str = "") -> list[File]:
            """All files whose names start with ``below``.

            Raises:
                InferenceError: they cannot be listed.
            """

        def open(self, file: File, /) -> BinaryIO:
            """A file, to read from its start to its end.

            Raises:
                InferenceError: it cannot be had.
                OSError: it cannot be read.
            """

        def write(self, name: str, content: bytes | bytearray, /) -> None:
            """Write a file, whole or not at all.

            Raises:
                InferenceError: it cannot be written.
            """


class File:
    """A file of a folder.

    Attributes:
        name: its path in the folder.
        size: in bytes.
        identity: changes with the content.
    """

    __slots__ = ("identity", "name", "size")

    def __init__(self, name: str, size: int, identity: str) -> None:
        self.name = name
        self.size = size
        self.identity = identity


def open_folder(uri: str, scratch: str, settings: Settings) -> Folder:
    """The folder that ``uri`` names.

    Args:
        uri: a path, or ``gs://BUCKET/FOLDER/``.
        scratch: a folder on this machine for what is fetched.
        settings: of this process.
    """
    if uri.startswith("gs://"):
        from inference_runtime.batch.gcs_folder import GcsFolder

        return GcsFolder(uri, scratch, settings)
    from inference_runtime.batch.local_folder import LocalFolder

    return LocalFolder(uri)
