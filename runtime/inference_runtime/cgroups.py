"""What the control groups of this process allow it: cgroups(7)."""

from __future__ import annotations

from inference_runtime.models.memory import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The groups of this process in each hierarchy, and where those are mounted.
_OWN_GROUPS = "/proc/self/cgroup"
_MOUNT = "/sys/fs/cgroup"


def readings(controller: str, file: str, files_of_version_1: Sequence[str]) -> Iterator[list[str]]:
    """The words in a controller's files, of each group of this process and of all above it: every
    one of those limits it. In a container its own group may be the mount itself, whatever the
    group's path says.

    Args:
        controller: for example ``cpu``.
        file: of version 2.
        files_of_version_1: that say the same in version 1, together.
    """
    for line in read_text(_OWN_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _upwards(_MOUNT, path, [file])
        elif controller in controllers.split(","):
            yield from _upwards(f"{_MOUNT}/{controller}", path, files_of_version_1)


def _upwards(mount: str, path: str, files: Sequence[str]) -> Iterator[list[str]]:
    while True:
        yield " ".join(read_text(f"{mount}{path}/{file}") for file in files).split()
        if not path.strip("/"):
            return
        path = path.rpartition("/")[0]
