"""AWS Lambda SnapStart: what a process does before it is snapshotted, and each copy afterwards.

What was made before the snapshot is the same in every copy:
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html. Nothing here is connected at
that time, so nothing is reconnected: observers and caches connect with their first request.
"""

from __future__ import annotations

import gc
import os
import sys
import time

from inference_runtime.telemetry import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_REGISTRY = "snapshot_restore_py"
_SEED_BYTES = 32


def register() -> None:
    """Have Lambda's managed Python call both hooks."""
    from snapshot_restore_py import register_after_restore, register_before_snapshot

    register_before_snapshot(before_snapshot)
    register_after_restore(after_restore, time.time())


def go_through(wait_for_restore: Callable[[], None]) -> None:
    """Be snapshotted, and go on in a copy, as AWS's own client does; hooks of a pipeline included.

    Args:
        wait_for_restore: returns in the copy.
    """
    started = time.time()
    registry = sys.modules.get(_REGISTRY)  # nobody has registered what was not imported
    before_snapshot()
    if registry is not None:
        for hook, arguments, options in reversed(registry.get_before_snapshot()):
            hook(*arguments, **options)
    wait_for_restore()
    after_restore(started)
    if registry is not None:
        for hook, arguments, options in registry.get_after_restore():
            hook(*arguments, **options)


def before_snapshot() -> None:
    """Leave no garbage, and let no collection touch what is there.

    A copy reads its memory from the snapshot page by page, as it is touched.
    """
    gc.collect()
    gc.freeze()


def after_restore(started: float) -> None:
    """Give this copy random numbers of its own, and say in the log that it is one.

    Args:
        started: when the snapshotted process was ready, on the ``time.time`` clock.
    """
    _reseed()
    log("INFO", "restored", snapshot_age_s=round(time.time() - started, 3))


def _reseed() -> None:
    """Only what is loaded: ``os.urandom``, ``secrets`` and ``uuid4`` ask the kernel anyway."""
    for name in ("random", "numpy.random"):
        if name in sys.modules:
            sys.modules[name].seed()
    if "ssl" in sys.modules:
        sys.modules["ssl"].RAND_add(os.urandom(_SEED_BYTES), _SEED_BYTES)
