"""Entries of the cache: filled once, kept while used, the longest unused removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from fcntl import LOCK_EX, LOCK_SH
from pathlib import Path

import pytest
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import cache as cache_module
from inference_runtime.models.cache import DiskCache, Lease

from tests.runtime.models.conftest import cached_files


def is_complete(folder: str) -> bool:
    return (Path(folder) / "model").exists()


def writes(size: int) -> Callable[[str], None]:
    return lambda folder: (Path(folder) / "model").write_bytes(bytes(size)) and None


def add(disk: DiskCache, key: str, size: int, used_at: float = 0) -> None:
    """An entry that nobody uses any more."""
    lease = disk.use(key, is_complete, writes(size))
    lease.close()
    os.utime(lease.folder + ".lock", (used_at, used_at))


def entries(disk: DiskCache) -> list[str]:
    return sorted(path.name for path in Path(disk.folder).iterdir() if path.is_dir())


def need(disk: DiskCache, size: int) -> None:
    """Make room for the entry ``new``."""
    disk.make_room(f"{disk.folder}/new", size, "s3://b/new")


def never(_folder: str) -> None:
    raise AssertionError("filled again")


# Filling


def test_an_entry_is_filled_once(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), None)
    first = disk.use("a", is_complete, writes(10))
    assert disk.use("a", is_complete, never).folder == first.folder


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: str) -> None:
        (Path(folder) / "below").mkdir()
        (Path(folder) / "below" / "half.part").touch()
        raise ModelNotLoaded("broken")

    disk = DiskCache(str(tmp_path), None)
    with pytest.raises(ModelNotLoaded, match="broken"):
        disk.use("a", is_complete, fill)
    assert list(Path(disk.folder).iterdir()) == []


def test_only_this_user_reads_it(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path / "new"), None)
    disk.use("a", is_complete, writes(1))
    assert Path(disk.folder).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_folder_is_not_trusted_where_all_may_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    disk = DiskCache(str(tmp_path), None)
    Path(disk.folder).mkdir()
    os.chown(disk.folder, 12345, 12345)
    with pytest.raises(ModelNotLoaded, match="does not belong to this user"):
        disk.use("a", is_complete, writes(1))
    tmp_path.chmod(0o755)
    disk.use("a", is_complete, writes(1))


def test_a_link_is_not_trusted(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), None)
    (tmp_path / "elsewhere").mkdir()
    Path(disk.folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelNotLoaded, match="does not belong to this user"):
        disk.use("a", is_complete, writes(1))


def test_a_lock_that_is_held_for_too_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "LOCK_TIMEOUT_SECONDS", 0.05)
    other = Lease(str(tmp_path / "a"))
    other.lock(LOCK_EX)
    with pytest.raises(ModelNotLoaded, match="is locked by another process"):
        Lease(str(tmp_path / "a")).lock(LOCK_SH)


# Room


def test_without_a_limit_nothing_is_removed(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), None)
    add(disk, "a", 100)
    need(disk, 1_000_000)
    assert entries(disk) == ["a"]


def test_the_longest_unused_go_first_and_no_more_than_needed(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), 300)
    for age, key in enumerate(["oldest", "older", "newest"]):
        add(disk, key, 100, used_at=age)
    need(disk, 150)
    assert entries(disk) == ["newest"]
    assert not list(Path(disk.folder).glob("old*"))


def test_use_counts_as_use(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), 200)
    add(disk, "a", 100, used_at=1)
    add(disk, "b", 100, used_at=2)
    disk.use("a", is_complete, never).close()
    need(disk, 100)
    assert entries(disk) == ["a"]


def test_what_is_used_stays(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), 200)
    in_use = disk.use("a", is_complete, writes(150))
    with pytest.raises(ModelNotLoaded) as raised:
        need(disk, 100)
    assert "s3://b/new needs 100 bytes" in str(raised.value)
    assert "other models take 150 of 200 (INFERENCE_DISK_CACHE_BYTES)" in str(raised.value)
    assert entries(disk) == ["a"]
    in_use.close()
    need(disk, 100)
    assert entries(disk) == []


def test_a_model_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), 200)
    add(disk, "a", 100)
    with pytest.raises(ModelNotLoaded, match="needs 201 bytes"):
        need(disk, 201)
    assert entries(disk) == ["a"], "removing it would not have helped"


def test_a_model_larger_than_the_disk_is_refused_with_figures(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), None)
    add(disk, "a", 100)
    with pytest.raises(
        ModelNotLoaded, match=r"needs 9,000,\d{3},\d{3},000 bytes .* has [\d,]+ free"
    ):
        need(disk, 9_000_000_000_000)
    assert entries(disk) == ["a"], "removing it would not have helped"


def test_what_an_interrupted_fetch_left_goes_first(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), None)
    add(disk, "a", 100)
    left = Lease(f"{disk.folder}/left")
    Path(left.folder).mkdir()
    (Path(left.folder) / "model.part").write_bytes(bytes(50))
    left.close()
    need(disk, 1)
    assert entries(disk) == ["a"]


def test_a_fetch_in_progress_is_no_leftover(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), None)
    add(disk, "a", 100)
    other = Lease(f"{disk.folder}/other")
    other.lock(LOCK_EX)
    Path(other.folder).mkdir()
    (Path(other.folder) / "model.part").touch()
    need(disk, 1)
    assert cached_files(tmp_path) == ["model", "model.part"]


def test_an_entry_removed_while_its_lock_was_awaited_is_made_anew(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), None)
    add(disk, "a", 100)
    waiting = Lease(f"{disk.folder}/a")
    remover = Lease(f"{disk.folder}/a")
    remover.lock(LOCK_EX)
    remover.remove()
    remover.close()
    waiting.lock(LOCK_SH)
    assert waiting.removed
    assert not disk.use("a", is_complete, writes(5)).removed
