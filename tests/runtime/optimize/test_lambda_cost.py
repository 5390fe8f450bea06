"""The price of a million calls, by hand and by its laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.optimize.lambda_cost import MEMORY_SIZES_MB, cheapest, cost_per_million

MB = 1 << 20


def test_a_call_of_10_ms_at_one_vcpu_by_hand() -> None:
    # 10 ms × 1769 MB / 1024 = 0.017275 GB-s; × $0.0000166667 × 1,000,000 + $0.20
    assert cost_per_million(10, 100 * MB, threads=1)[1769] == 0.49
    assert cost_per_million(10, 100 * MB, threads=1, architecture="arm64")[1769] == 0.43


def test_a_part_of_a_millisecond_is_billed_as_a_whole_one() -> None:
    assert cost_per_million(9.2, 100 * MB, threads=1)[1769] == 0.49


def test_less_memory_is_slower_and_more_is_no_faster_for_one_thread() -> None:
    costs = cost_per_million(100, 100 * MB, threads=1)
    assert costs[512] == pytest.approx(costs[1769], rel=0.01)
    assert costs[3538] == pytest.approx(2 * costs[1769] - 0.20, rel=0.01)
    assert cheapest(costs) == (1769, costs[1769])


def test_two_threads_want_two_vcpus() -> None:
    costs = cost_per_million(100, 100 * MB, threads=2)
    assert costs[1769] == pytest.approx(costs[3538], rel=0.01)


def test_sizes_that_do_not_hold_the_model_are_left_out() -> None:
    assert set(cost_per_million(1, 500 * MB, threads=1)) == {1024, 1769, 3538}
    assert cheapest(cost_per_million(1, 4000 * MB, threads=1)) is None


@given(st.floats(0.01, 10_000), st.integers(1, 200), st.integers(1, 6))
def test_a_slower_call_never_costs_less(latency: float, peak_mb: int, threads: int) -> None:
    fast = cost_per_million(latency, peak_mb * MB, threads)
    slow = cost_per_million(latency * 2, peak_mb * MB, threads)
    assert set(fast) == set(slow) == set(MEMORY_SIZES_MB)
    assert all(slow[memory] >= fast[memory] > 0.2 - 1e-9 for memory in fast)
