"""How many threads one run may use, from the processor time that the process really gets.

Lambda shows two processors at every memory size and throttles below them; containers show the
host's. More threads than quota only wait for one another: at 0.58 vCPU, one thread answered in
36 ms and the default in 100 (bench/threads.py measures it).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEGABYTES_PER_VCPU = 1769

# cgroups(7): the groups of this process in each hierarchy, and where those are mounted.
_OWN_GROUPS = "/proc/self/cgroup"
_MOUNT = "/sys/fs/cgroup"


def vcpus(lambda_memory_mb: int | None) -> float:
    """The vCPUs of this process: on Lambda from its memory, else by affinity and cgroup quota."""
    if lambda_memory_mb is not None:
        return lambda_memory_mb / MEGABYTES_PER_VCPU
    visible = float(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min([visible, *_cgroup_quotas()])


def intra_op_threads(available: float) -> int:
    """Threads for one run on ``available`` vCPUs: one below two, else one for each whole one."""
    return max(1, int(available))


def _cgroup_quotas() -> Iterator[float]:
    """The processors that each of this process's groups grants, where it sets a limit."""
    for line in _read(_OWN_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _quotas(_MOUNT, path, "cpu.max", "")
        elif "cpu" in controllers.split(","):
            yield from _quotas(f"{_MOUNT}/cpu", path, "cpu.cfs_quota_us", "cpu.cfs_period_us")


def _quotas(mount: str, path: str, quota_file: str, period_file: str) -> Iterator[float]:
    """Those of a group and of all above it. In a container its own group may be the mount itself,
    whatever ``path`` says.
    """
    while True:
        folder = mount + path
        text = _read(f"{folder}/{quota_file}")
        if period_file:
            text += _read(f"{folder}/{period_file}")
        quota, _, period = text.strip().replace("\n", " ").partition(" ")
        if quota.isdecimal() and period.isdecimal():  # else "max", -1, or no such group here
            yield int(quota) / int(period)
        if not path.strip("/"):
            return
        path = path.rpartition("/")[0]


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
