from __future__ import annotations

import time

from inference_runtime.adapters.watchdog import Watchdog
from inference_runtime.engine import Cancellation
from inference_runtime.errors import DeadlineExceeded


def wait_for_the_end(cancellation: Cancellation, seconds: float = 2) -> float:
    begin = time.monotonic()
    while cancellation.reason is None and time.monotonic() - begin < seconds:
        time.sleep(0.005)
    return time.monotonic() - begin


def test_a_run_is_cancelled_at_its_deadline() -> None:
    with Watchdog().limit(time.time() + 0.1) as cancellation:
        waited = wait_for_the_end(cancellation)
        assert isinstance(cancellation.reason, DeadlineExceeded)
    assert 0.05 < waited < 0.5


def test_a_deadline_that_has_passed_cancels_at_once() -> None:
    with Watchdog().limit(time.time() - 1) as cancellation:
        assert wait_for_the_end(cancellation) < 0.5


def test_a_nearer_deadline_is_kept_beside_a_farther_one() -> None:
    watchdog = Watchdog()
    with watchdog.limit(time.time() + 60) as far:
        time.sleep(0.02)
        with watchdog.limit(time.time() + 0.1) as near:
            assert wait_for_the_end(near) < 0.5
        with watchdog.limit(time.time() + 0.1) as second:
            assert wait_for_the_end(second) < 0.5
        assert far.reason is None


def test_a_run_that_ended_in_time_is_left_alone() -> None:
    with Watchdog().limit(time.time() + 0.05) as cancellation:
        pass
    time.sleep(0.1)
    assert cancellation.reason is None
