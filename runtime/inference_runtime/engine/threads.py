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


def vcpus(lambda_memory_mb: int | None) -> float:
    """The vCPUs of this process: on Lambda from its memory, else by affinity and cgroup quota."""
    if lambda_memory_mb is not None:
        return lambda_memory_mb / MEGABYTES_PER_VCPU
    visible = float(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min([visible, *_cgroup_quotas()])


def intra_op_threads(available: float) -> int:
    """Threads for one run on ``available`` vCPUs: as many, rounded, and one at least."""
    return max(1, int(available + 0.5))


def _cgroup_quotas() -> Iterator[float]:
    """The processors that each of this process's groups grants, where it sets a limit."""
    from inference_runtime.cgroups import readings  # not on Lambda

    for words in readings("cpu", "cpu.max", ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        match words:
            case [quota, period] if quota.isdecimal() and period.isdecimal():  # else max, or -1
                yield int(quota) / int(period)
