"""The C library's heap, from which onnxruntime allocates; glibc's, and no other's, is prepared."""

from __future__ import annotations

from ctypes import CDLL, c_int, c_size_t, c_void_p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# What onnxruntime's library and a model's graph take at their start.
START_BYTES: Final = 12 << 20

_ARENA_MAX: Final = -8  # malloc.h
_HUGE_PAGE_BYTES: Final = 2 << 20
_MADV_HUGEPAGE: Final = 14  # madvise(2)


def prepare() -> None:
    """Give all threads one heap, and that huge pages to start with. Call it before there are more.

    glibc would give each thread a heap of its own, which grows by a system call for each page: some
    2,000 while onnxruntime's library initialises in one. And the first touch of each page is an
    interrupt, which takes a fifth of that time; a huge page has one for 512 of them, where the
    kernel has such pages to give.
    """
    libc = CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    libc.mallopt(_ARENA_MAX, 1)
    libc.malloc.restype, libc.malloc.argtypes = c_void_p, (c_size_t,)
    libc.free.argtypes = (c_void_p,)
    libc.madvise.argtypes = (c_void_p, c_size_t, c_int)
    # A block so large is a mapping of its own, until one has been freed: mallopt(3).
    libc.free(libc.malloc(START_BYTES + _HUGE_PAGE_BYTES))
    block = libc.malloc(START_BYTES)
    if block is None:
        return  # whoever needs that much will tell
    start = -(-block // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES
    libc.madvise(start, block + START_BYTES - start, _MADV_HUGEPAGE)
    libc.free(block)


def give_back() -> None:
    """Give memory that was freed and is kept for later back to the system, where glibc keeps it."""
    trim = getattr(CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
