"""A share of a processor for one process, by a cgroup quota, as containers have it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
# Enters the group, and becomes what follows.
ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@contextmanager
def quota(vcpus: float) -> Iterator[tuple[str, ...] | None]:
    """The beginning of a command that then has ``vcpus``; ``None`` where that cannot be set here,
    for want of root or of a writable hierarchy.
    """
    group = _make()
    if group is None:
        yield None
        return
    try:
        _limit(group, round(vcpus * PERIOD_US))
        yield ("/bin/sh", "-c", ENTER, str(group))
    finally:
        group.rmdir()


def _make() -> Path | None:
    name = f"bench-{os.getpid()}"
    first_version = MOUNT / "cpu"
    for parent, file in ((first_version, "cpu.cfs_quota_us"), (MOUNT, "cpu.max")):
        group = parent / name
        try:
            group.mkdir()
        except OSError:
            continue
        if os.access(group / file, os.W_OK):
            return group
        group.rmdir()
    return None


def _limit(group: Path, quota_us: int) -> None:
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))
