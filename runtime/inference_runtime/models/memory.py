"""Whether a model fits the memory of this process, told with figures before the kernel kills it."""

from __future__ import annotations

import os

from inference_runtime.errors import ModelNotLoaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Peak anonymous memory of loading a file that holds its own weights, in sizes of that file:
# onnxruntime parses it and then copies the weights. BERT-base took 1.5, ResNet-18 2.5; weights in
# external data 0.75 (bench/fetch.py, onnxruntime 1.31).
EMBEDDED_FACTOR: Final = 1.5

_MIB = 1 << 20


def check_fits(
    uri: str,
    embedded: int,
    external: int,
    lambda_memory_mb: int | None,
    *,
    in_memory: bool = False,
    is_loaded: bool = True,
) -> None:
    """Check a model's size against what this process may use.

    Args:
        uri: of the model, for the message.
        embedded: bytes of its ONNX file.
        external: bytes of its external data, which are mapped.
        lambda_memory_mb: of the function, on AWS Lambda.
        in_memory: whether its files themselves take memory, as in a tmpfs.
        is_loaded: whether this process also makes a session of them.

    Raises:
        ModelNotLoaded: it needs more.
    """
    needed = is_loaded * int(embedded * EMBEDDED_FACTOR) + in_memory * embedded
    needed += external if is_loaded or in_memory else 0
    limit, source = _limit(lambda_memory_mb)
    taken = _anonymous_bytes()
    if needed + taken > limit:
        raise ModelNotLoaded(
            f"{uri} needs about {_mib(needed)} of memory ({_mib(embedded)} of ONNX file and"
            f" {_mib(external)} of external data), but {_mib(limit)} is {source}, of which"
            f" {_mib(taken)} are taken: give it more memory, or make the model smaller"
        )


def is_memory(folder: str, *, cloud_run: bool) -> bool:
    """Whether files in a folder take memory: in a tmpfs, and anywhere on Google Cloud Run but on an
    ephemeral disk, which is an ext4 of its own.

    https://cloud.google.com/run/docs/container-contract#filesystem
    https://cloud.google.com/run/docs/configuring/services/ephemeral-disk
    """
    mount_point, system = _mount(os.path.realpath(folder))
    is_disk = system == "ext4" and mount_point != "/"
    return not is_disk if cloud_run else system in ("tmpfs", "ramfs")


def read_text(path: str) -> str:
    """What the kernel tells in a file; empty where there is none."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _limit(lambda_memory_mb: int | None) -> tuple[int, str]:
    limits = [(_machine_bytes(), "this machine's memory")]
    if lambda_memory_mb is not None:
        return min(*limits, (lambda_memory_mb * _MIB, "the function's memory"))
    from inference_runtime.cgroups import readings  # not on Lambda

    for words in readings("memory", "memory.max", ("memory.limit_in_bytes",)):
        if words and words[0].isdecimal():  # else max
            limits.append((int(words[0]), "the container's memory limit"))
    return min(limits)


def _machine_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _anonymous_bytes() -> int:
    """Memory of this process that the kernel cannot drop; 0 where it does not tell."""
    fields = read_text("/proc/self/statm").split()  # proc(5): size, resident, shared, …, in pages
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def _mount(path: str) -> tuple[str, str]:
    """Where the file system that holds ``path`` is mounted, and its type; empty where unknown."""
    mounts = [line.split() for line in read_text("/proc/self/mounts").splitlines()]
    holding = [m for m in mounts if f"{path}/".startswith(f"{m[1].rstrip('/')}/")]
    if not holding:
        return "", ""
    _, mount_point, system, *_ = max(holding, key=lambda mount: len(mount[1]))
    return mount_point, system


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"
