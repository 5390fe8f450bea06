"""Files that are brought into the page cache before they are asked for."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from pathlib import Path

import pytest
from inference_runtime import readahead
from inference_runtime.readahead import PIECE_BYTES, read_ahead

PIECES = 6


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of six pieces and a byte, on the disk."""
    path = tmp_path / "model.ort"
    with path.open("wb") as target:
        target.write(os.urandom(PIECES * PIECE_BYTES + 1))
        os.fsync(target.fileno())
    return path


def forget(path: Path) -> None:
    """Have the kernel drop the file's pages; where it keeps them, there is nothing to test."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if all(pages(path)):
        pytest.skip("this file system keeps its files in memory")


def pages(path: Path) -> list[bool]:
    """Which of its pages are in memory: mincore(2)."""
    size = path.stat().st_size
    vector = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        # ctypes takes the address of writable memory only; numpy's frombuffer does of any.
        import numpy as np

        address = np.frombuffer(mapped, np.uint8).ctypes.data
        assert (
            ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), vector) == 0
        )
    return [bool(page & 1) for page in vector]


def test_every_page_comes(file: Path) -> None:
    forget(file)
    read_ahead(str(file))
    end = time.monotonic() + 10
    while not all(pages(file)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_there_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.read_bytes()
    monkeypatch.setattr(readahead, "start_new_thread", None)
    read_ahead(str(file))


def test_descriptors_are_closed(file: Path) -> None:
    def opened() -> int:
        return len([*Path("/proc/self/fd").iterdir()])

    before = opened()
    for _ in range(20):
        forget(file)
        read_ahead(str(file))
    end = time.monotonic() + 10
    while opened() > before:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("content", [None, b""])
def test_files_that_hold_nothing_are_passed_over(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    read_ahead(str(path))
