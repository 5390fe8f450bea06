from __future__ import annotations

import os
from pathlib import Path

import pytest
from inference_runtime import cgroups
from inference_runtime.engine import threads


@pytest.mark.parametrize(
    ("memory_mb", "expected"),
    [(128, 1), (1769, 1), (2653, 1), (2654, 2), (3008, 2), (3538, 2), (5307, 3), (10240, 6)],
)
def test_lambda_gives_a_thread_for_each_vcpu_rounded(memory_mb: int, expected: int) -> None:
    assert threads.intra_op_threads(threads.vcpus(memory_mb)) == expected


V2 = "cpu.max"
QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hierarchies are mounted; no process is in any of them, and 64 CPUs are visible."""
    monkeypatch.setattr(cgroups, "_MOUNT", str(tmp_path))
    monkeypatch.setattr(cgroups, "_OWN_GROUPS", str(tmp_path / "own"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    return tmp_path


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {V2: "50000 100000\n"}, 0.5),
        ("0::/", {V2: "150000 100000\n"}, 1.5),
        ("0::/", {V2: "max 100000\n"}, 64),
        ("0::/", {V2: "nonsense"}, 64),
        ("0::/", {}, 64),
        ("", {V2: "50000 100000\n"}, 64),
        # A group of its own, and a limit above it.
        ("0::/pod/app", {f"pod/app/{V2}": "200000 100000\n"}, 2),
        ("0::/pod/app", {f"pod/app/{V2}": "max 100000\n", f"pod/{V2}": "300000 100000\n"}, 3),
        ("0::/pod/app", {f"pod/app/{V2}": "400000 100000", f"pod/{V2}": "300000 100000"}, 3),
        # A container that sees the host's path, and its own group as the root.
        ("0::/docker/1234", {V2: "50000 100000\n"}, 0.5),
        # Version 1.
        ("4:cpu,cpuacct:/\n9:name=systemd:/",
         {f"cpu/{QUOTA}": "58000\n", f"cpu/{PERIOD}": "100000\n"}, 0.58),
        ("4:cpuacct,cpu:/app\n0::/app",
         {f"cpu/app/{QUOTA}": "250000\n", f"cpu/app/{PERIOD}": "100000\n"}, 2.5),
        ("4:cpu:/", {f"cpu/{QUOTA}": "-1\n", f"cpu/{PERIOD}": "100000\n"}, 64),
        ("4:cpuset:/", {f"cpu/{QUOTA}": "50000\n", f"cpu/{PERIOD}": "100000\n"}, 64),
    ],
)  # fmt: skip
def test_the_least_of_all_cgroup_quotas_counts(
    own: str, files: dict[str, str], expected: float, groups: Path
) -> None:
    (groups / "own").write_text(own)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    assert threads.vcpus(None) == expected


def test_without_cgroups_the_affinity_counts(groups: Path) -> None:
    assert threads.vcpus(None) == 64
