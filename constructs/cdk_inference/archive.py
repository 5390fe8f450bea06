"""Zip files and folders that are the same bytes whenever they are made from the same files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

# The earliest that a zip file can say.
_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)
_FILE: Final = 0o100000
_READABLE: Final = 0o644
_EXECUTABLE: Final = 0o755


@dataclass(frozen=True)
class Archive:
    """A zip file.

    Attributes:
        path: the file.
    """

    path: Path

    @property
    def sha256(self) -> str:
        """Of its bytes, in hex."""
        return _sha256(self.path)

    @property
    def unzipped_bytes(self) -> int:
        """What its files take up once unpacked."""
        with ZipFile(self.path) as archive:
            return sum(entry.file_size for entry in archive.infolist())


@cache  # many functions share an archive, and none changes
def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def write_zip(path: Path, files: Mapping[str, Path], *, executable: bool = False) -> None:
    """Write ``files``, by their names in it, as a zip file at ``path``.

    Args:
        path: the zip file.
        files: what it holds.
        executable: whether all of them are programs. Default: none is.
    """
    mode = _FILE | (_EXECUTABLE if executable else _READABLE)
    with ZipFile(path, "w") as archive:
        for name, file in sorted(files.items()):
            entry = ZipInfo(name, _TIMESTAMP)
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = mode << 16
            entry.file_size = file.stat().st_size
            with file.open("rb") as content, archive.open(entry, "w") as target:
                shutil.copyfileobj(content, target, 2**20)


def write_folder(path: Path, files: Mapping[str, Path]) -> None:
    """Copy ``files``, by their names in it, into the new folder ``path``."""
    for name, file in sorted(files.items()):
        target = path / name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(_READABLE)


def digest(*parts: str | bytes | Path) -> str:
    """The SHA-256, in hex, of texts and of files' contents, each kept apart from the next."""
    total = sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part
        raw = content.encode() if isinstance(content, str) else content
        total.update(len(raw).to_bytes(8, "big") + raw)
    return total.hexdigest()
