from __future__ import annotations

import os
from pathlib import Path

import pytest
from inference_runtime.engine import threads


@pytest.mark.parametrize(
    ("memory_mb", "expected"),
    [(128, 1), (1024, 1), (1769, 1), (3008, 1), (3538, 2), (5307, 3), (8846, 5), (10240, 5)],
)
def test_lambda_gives_one_thread_for_each_whole_vcpu(memory_mb: int, expected: int) -> None:
    assert threads.intra_op_threads(threads.vcpus(memory_mb)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50000 100000\n", 0.5),
        ("150000 100000\n", 1.5),
        ("max 100000\n", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_cgroup_quota_is_read(
    text: str, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    monkeypatch.setattr(threads, "_CGROUP_QUOTA", str(file))
    visible = len(os.sched_getaffinity(0))
    assert threads.vcpus(None) == min(visible, expected or visible)


def test_without_cgroups_the_affinity_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_CGROUP_QUOTA", str(tmp_path / "missing"))
    assert threads.vcpus(None) == len(os.sched_getaffinity(0))
