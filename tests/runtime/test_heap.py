"""The heap that onnxruntime allocates from; in processes of their own, for it is prepared once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", f"from inference_runtime import heap\n{code}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


@pytest.mark.skipif(not HUGE.is_file(), reason="this kernel has no huge pages to give")
def test_it_begins_with_room_of_huge_pages() -> None:
    smaps = run("heap.prepare()\nprint(open('/proc/self/smaps').read())")
    advised, kind, size = 0, "", 0
    for line in smaps.splitlines():
        name, _, rest = line.partition(":")
        if "-" in name.split(" ")[0] and not name.istitle():
            kind = line
        elif name == "Size":
            size = int(rest.split()[0]) << 10
        elif name == "VmFlags" and "[heap]" in kind and " hg" in rest:
            advised += size
    assert advised >= 8 << 20


def test_threads_allocate_from_the_one_heap() -> None:
    """A heap of its own would be a mapping of 64 MB for each of them."""
    count = """
import ctypes, threading
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def size():
    return int(open("/proc/self/statm").read().split()[0]) * 4096
def allocate():
    [libc.malloc(64 << 10) for _ in range(3)]
    done.set(); ended.wait()
before = size()
for _ in range(4):
    done, ended = threading.Event(), threading.Event()
    threading.Thread(target=allocate, daemon=True).start(); done.wait()
print(size() - before)
"""
    stacks = 4 * (8 << 20)
    assert int(run(f"heap.prepare()\n{count}")) - stacks < 32 << 20 < int(run(count)) - stacks


def test_where_there_is_no_such_library_nothing_happens() -> None:
    run("heap.CDLL = lambda _: object()\nheap.prepare()\nheap.give_back()")
