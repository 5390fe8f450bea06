from __future__ import annotations

import pytest
from cdk_inference.limits import LAMBDA_EPHEMERAL_STORAGE, LAMBDA_MEMORY, LAMBDA_TIMEOUT, Limit
from cdk_inference.validation import ConfigurationError, Problems
from hypothesis import given
from hypothesis import strategies as st

LIMITS = st.sampled_from([LAMBDA_MEMORY, LAMBDA_TIMEOUT, LAMBDA_EPHEMERAL_STORAGE])


def problems_of(value: float, limit: Limit) -> tuple[str, ...]:
    problems = Problems("App/Function")
    problems.check_within("the value", value, limit)
    try:
        problems.raise_if_any()
    except ConfigurationError as error:
        return error.problems
    return ()


@given(LIMITS, st.data())
def test_every_whole_number_in_the_range_is_allowed(limit: Limit, data: st.DataObject) -> None:
    assert problems_of(data.draw(st.integers(limit.minimum, limit.maximum)), limit) == ()


@given(LIMITS, st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_whatever_is_outside_or_fractional_is_refused(limit: Limit, value: float) -> None:
    allowed = value in range(limit.minimum, limit.maximum + 1)
    assert (problems_of(value, limit) == ()) == allowed


def test_a_problem_says_what_came_what_is_allowed_and_what_to_do() -> None:
    assert problems_of(20_480, LAMBDA_MEMORY) == (
        "the value is 20480 MB; AWS Lambda allows 128 to 10240 in whole MB;"
        " choose a value in that range",
    )


def test_all_problems_come_in_one_error_that_names_the_construct() -> None:
    problems = Problems("App/Function")
    problems.add("a is 1", allowed="2 is allowed", remedy="use 2")
    problems.add("b is 3", allowed="4 is allowed", remedy="use 4")
    with pytest.raises(ConfigurationError) as caught:
        problems.raise_if_any()
    assert caught.value.where == "App/Function"
    assert str(caught.value) == (
        "App/Function: 2 problems\n  - a is 1; 2 is allowed; use 2\n  - b is 3; 4 is allowed; use 4"
    )


def test_no_problem_raises_nothing() -> None:
    Problems("App/Function").raise_if_any()
