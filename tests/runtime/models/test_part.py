"""The unfinished form of a file: what survives, and what is not mistaken for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_runtime.models.part import Part

CONTENT = bytes(range(250))
RANGE = 100


def part(folder: Path, identity: str = "v1", size: int = len(CONTENT), ranges: int = RANGE) -> Part:
    return Part(str(folder / "file"), size, ranges, identity)


def write(made: Part, *indices: int) -> None:
    for index in indices:
        start, end = made.bounds(index)
        made.write(memoryview(CONTENT)[start:end], start)
        made.complete(index)


def test_ranges_cover_the_content(tmp_path: Path) -> None:
    made = part(tmp_path)
    assert made.missing() == [0, 1, 2]
    assert [made.bounds(index) for index in range(made.count)] == [(0, 100), (100, 200), (200, 250)]


def test_the_file_appears_whole(tmp_path: Path) -> None:
    made = part(tmp_path)
    write(made, 2, 0, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["file.part"]
    made.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_another_process_goes_on(tmp_path: Path) -> None:
    first = part(tmp_path)
    write(first, 1)
    second = part(tmp_path)
    assert second.missing() == [0, 2]
    write(second, 0, 2)
    with second.map() as content:
        assert content[:] == CONTENT


@pytest.mark.parametrize(
    ("identity", "size", "ranges"), [("v2", 250, 100), ("v1", 251, 100), ("v1", 250, 50)]
)
def test_another_content_starts_anew(tmp_path: Path, identity: str, size: int, ranges: int) -> None:
    write(part(tmp_path), 0, 1, 2)
    other = part(tmp_path, identity, size, ranges)
    assert len(other.missing()) == other.count


def test_what_starts_anew_is_a_new_file_that_nothing_was_cut_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = part(tmp_path)
    write(old, 0, 1, 2)
    sizes = []
    cut = os.ftruncate
    monkeypatch.setattr(os, "ftruncate", lambda file, size: (sizes.append(size), cut(file, size)))
    part(tmp_path, "v2")
    assert 0 not in sizes, "ext4 would write it to the medium when it is closed"
    with old.map() as content:
        assert content[:] == CONTENT


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_what_is_no_part_starts_anew(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    folder = tmp_path_factory.mktemp("junk")
    (folder / "file.part").write_bytes(junk)
    assert part(folder).missing() == [0, 1, 2]


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    part(tmp_path)
    assert (tmp_path / "file.part").stat().st_mode & 0o777 == 0o600
