"""When a request runs on the event loop: the rule, and what watches over it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.adapters.http.loop_guard import ALLOWANCE_SECONDS, LoopGuard, TookTooLong
from inference_runtime.adapters.http.pace import FAST_SECONDS, SMALL_BODY_BYTES, Pace
from inference_runtime.engine import Cancellation

PATH = "/predict"
FAST, SLOW = FAST_SECONDS / 10, FAST_SECONDS * 10


def pace_of(*seconds: float) -> Pace:
    pace = Pace()
    for each in seconds:
        pace.record(PATH, each)
    return pace


def test_a_path_that_was_not_measured_is_slow() -> None:
    assert not pace_of(FAST).is_fast("/another", 1)


def test_a_fast_path_is_fast_for_small_bodies() -> None:
    pace = pace_of(FAST)
    assert pace.is_fast(PATH, SMALL_BODY_BYTES)
    assert not pace.is_fast(PATH, SMALL_BODY_BYTES + 1)


def test_a_single_slow_request_is_a_hiccup_and_several_are_a_change() -> None:
    pace = pace_of(*[FAST] * 100, SLOW)
    assert pace.is_fast(PATH, 1)
    needed = 1
    while pace.is_fast(PATH, 1):
        pace.record(PATH, SLOW)
        needed += 1
    assert 5 < needed < 15


def test_many_fast_requests_make_a_slow_path_fast_again() -> None:
    pace = pace_of(*[SLOW] * 1000)
    assert not pace.is_fast(PATH, 1)
    for _ in range(10):
        pace.record(PATH, FAST)
    assert pace.is_fast(PATH, 1)


def test_a_path_that_was_taken_off_the_loop_is_slow_at_once() -> None:
    pace = pace_of(*[FAST] * 1000)
    pace.mark_slow(PATH)
    assert not pace.is_fast(PATH, 1)


@given(st.lists(st.floats(FAST_SECONDS, 10), min_size=1))
def test_a_path_that_was_always_slow_is_never_fast(seconds: list[float]) -> None:
    assert not pace_of(*seconds).is_fast(PATH, 1)


def test_the_table_of_paths_is_bounded() -> None:
    pace = Pace()
    for number in range(5000):
        pace.record(f"/{number}", FAST)
    assert sum(pace.is_fast(f"/{number}", 1) for number in range(5000)) == 1024


def wait_until_cancelled(cancellation: Cancellation) -> float:
    start = time.perf_counter()
    while cancellation.reason is None and time.perf_counter() - start < 5:
        time.sleep(0.001)
    return time.perf_counter() - start


def test_a_run_past_its_allowance_is_ended() -> None:
    guard = LoopGuard()
    for _ in range(3):
        cancellation = Cancellation()
        guard.begin(cancellation)
        assert ALLOWANCE_SECONDS / 2 < wait_until_cancelled(cancellation) < 1
        assert isinstance(cancellation.reason, TookTooLong)
        guard.end()


@pytest.mark.parametrize("pause", [0.0, 0.001])
def test_runs_within_their_allowance_are_left_alone(pause: float) -> None:
    guard = LoopGuard()
    cancellations = [Cancellation() for _ in range(100)]
    for cancellation in cancellations:
        guard.begin(cancellation)
        time.sleep(pause)
        guard.end()
    time.sleep(2 * ALLOWANCE_SECONDS)
    assert all(cancellation.reason is None for cancellation in cancellations)
