"""What a model may take: the smallest of all limits, and figures where it takes more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from inference_runtime import cgroups
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import memory
from inference_runtime.models.memory import check_fits, is_memory
from onnx import numpy_helper

from tests.runtime.onnx_models import save, scaled

MIB = 1 << 20


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the container's limit is read; its group has one above."""
    monkeypatch.setattr(cgroups, "_MOUNT", str(tmp_path))
    monkeypatch.setattr(cgroups, "_OWN_GROUPS", str(tmp_path / "own"))
    monkeypatch.setattr(memory, "_anonymous_bytes", lambda: 20 * MIB)
    (tmp_path / "own").write_text("0::/pod/app\n")
    (tmp_path / "pod" / "app").mkdir(parents=True)
    return tmp_path / "pod" / "app" / "memory.max"


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


def test_so_does_that_of_a_group_above_or_of_version_1(cgroup: Path, tmp_path: Path) -> None:
    cgroup.write_text(f"{100 * MIB}\n")
    check_fits("m", 0, 50 * MIB, None)
    (tmp_path / "pod" / "memory.max").write_text(f"{60 * MIB}\n")
    with pytest.raises(ModelNotLoaded, match="60 MiB is the container's memory limit"):
        check_fits("m", 0, 50 * MIB, None)
    (tmp_path / "own").write_text("7:memory:/\n1:name=systemd:/\n")
    check_fits("m", 0, 50 * MIB, None)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{40 * MIB}\n")
    with pytest.raises(ModelNotLoaded, match="40 MiB is the container's memory limit"):
        check_fits("m", 0, 50 * MIB, None)


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
    monkeypatch.setattr(memory, "read_text", lambda _path: mounts)
    assert is_memory(f"{tmp_path}/shm/cache", cloud_run=False)
    assert not is_memory(f"{tmp_path}/shmoo", cloud_run=False)
    assert is_memory(f"{tmp_path}/disk", cloud_run=True)
    assert not is_memory(f"{tmp_path}/volume/cache", cloud_run=True)


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A real control group with 150 MiB of memory."""
    for parent, name in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup") / parent / f"test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / name).exists():
                (group / name).write_text(str(150 * MIB))
                yield group
                return
        finally:
            group.rmdir()
    pytest.skip("no control group of memory can be made here")


def test_the_kernel_has_nobody_to_kill(small_group: Path, tmp_path: Path) -> None:
    model = scaled(1.0)
    weights = numpy_helper.from_array(np.ones(30 << 20, np.float32), "weights")
    model.graph.initializer.append(weights)
    path = save(model, tmp_path / "m.onnx")
    enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    start = "from inference_runtime.serving import start; start()"
    ended = subprocess.run(
        ["/bin/sh", "-c", enter, str(small_group), sys.executable, "-c", start],
        env={"MODEL_URI": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1, f"killed, or not refused: {ended}"
    assert "m.onnx needs about 180 MiB of memory (120 MiB of ONNX file" in ended.stderr
    assert "150 MiB is the container's memory limit" in ended.stderr
