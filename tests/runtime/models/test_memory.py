"""What a model may take: the smallest of all limits, and figures where it takes more."""

from __future__ import annotations

from pathlib import Path

import pytest
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import memory
from inference_runtime.models.memory import check_fits, is_memory

MIB = 1 << 20


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the container's limit is read."""
    file = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (str(file),))
    monkeypatch.setattr(memory, "_anonymous_bytes", lambda: 20 * MIB)
    return file


@pytest.mark.parametrize(
    ("embedded", "external", "fits"),
    [(53, 0, True), (54, 0, False), (0, 80, True), (0, 81, False), (40, 20, True), (40, 21, False)],
)
def test_embedded_weights_are_copied_and_external_data_are_not(
    cgroup: Path, embedded: int, external: int, fits: bool
) -> None:
    cgroup.write_text(f"{100 * MIB}\n")
    if fits:
        check_fits("m", embedded * MIB, external * MIB, None)
    else:
        with pytest.raises(ModelNotLoaded, match="of memory"):
            check_fits("m", embedded * MIB, external * MIB, None)


def test_the_error_has_the_figures(cgroup: Path) -> None:
    cgroup.write_text(f"{100 * MIB}\n")
    with pytest.raises(ModelNotLoaded) as raised:
        check_fits("s3://b/m", 60 * MIB, 10 * MIB, None)
    assert str(raised.value) == (
        "s3://b/m needs about 100 MiB of memory (60 MiB of ONNX file and 10 MiB of external data),"
        " but 100 MiB is the container's memory limit, of which 20 MiB are taken: give it more"
        " memory, or make the model smaller"
    )


def test_the_smallest_limit_counts(cgroup: Path) -> None:
    cgroup.write_text(f"{100 * MIB}\n")
    with pytest.raises(ModelNotLoaded, match="64 MiB is the function's memory"):
        check_fits("m", 0, 50 * MIB, 64)
    check_fits("m", 0, 50 * MIB, 128)


def test_a_container_without_a_limit_has_the_machines(cgroup: Path) -> None:
    cgroup.write_text("max\n")
    check_fits("m", 0, 200 * MIB, None)
    with pytest.raises(ModelNotLoaded, match="is this machine's memory"):
        check_fits("m", 0, 1 << 50, None)


def test_files_in_memory_count_on_top(cgroup: Path) -> None:
    cgroup.write_text(f"{100 * MIB}\n")
    check_fits("m", 40 * MIB, 0, None)
    with pytest.raises(ModelNotLoaded, match="needs about 100 MiB"):
        check_fits("m", 40 * MIB, 0, None, in_memory=True)


def test_only_what_is_loaded_needs_memory_for_that(cgroup: Path) -> None:
    cgroup.write_text(f"{100 * MIB}\n")
    check_fits("m", 500 * MIB, 500 * MIB, None, is_loaded=False)
    check_fits("m", 40 * MIB, 40 * MIB, None, in_memory=True, is_loaded=False)
    with pytest.raises(ModelNotLoaded, match="needs about 81 MiB"):
        check_fits("m", 40 * MIB, 41 * MIB, None, in_memory=True, is_loaded=False)


def test_a_tmpfs_is_memory_and_so_are_all_files_on_cloud_run_but_an_ephemeral_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = f"/dev/a / ext4 rw 0 0\ntmpfs {tmp_path}/shm tmpfs rw 0 0\n"
    mounts += f"/dev/b {tmp_path}/volume ext4 rw 0 0\n"
    monkeypatch.setattr(memory, "_read", lambda _path: mounts)
    assert is_memory(f"{tmp_path}/shm/cache", cloud_run=False)
    assert not is_memory(f"{tmp_path}/shmoo", cloud_run=False)
    assert is_memory(f"{tmp_path}/disk", cloud_run=True)
    assert not is_memory(f"{tmp_path}/volume/cache", cloud_run=True)
