"""How answers are compared: what counts as an error, and what as the same top-1."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.optimize.accuracy import Accuracy, compare
from inference_runtime.optimize.arrays import datatype_of, to_tensor
from inference_runtime.tensor import BYTES, Tensor, pack_elements

Outputs = dict[str, np.ndarray]


def compared(ours: Outputs, theirs: Outputs) -> Accuracy:
    def answers(outputs: Outputs) -> list[dict[str, object]]:
        return [{name: to_tensor(array, datatype_of(array)) for name, array in outputs.items()}]

    return compare(answers(ours), answers(theirs))


def scores(*rows: list[float]) -> Outputs:
    return {"scores": np.array(rows, np.float32)}


def test_the_error_is_a_share_of_the_output_s_largest_value() -> None:
    accuracy = compared(scores([1, -200], [50, 0]), scores([3, -200], [50, 0]))
    assert accuracy.max_error == pytest.approx(2 / 200)
    assert accuracy.mean_error == pytest.approx(2 / 200 / 4)
    assert accuracy.agreement == 1


def test_the_top_1_of_scores_is_their_largest_column() -> None:
    assert compared(scores([1, 2], [3, 4]), scores([1, 2], [4, 3])).agreement == 0.5


def test_the_top_1_of_labels_flags_and_texts_is_themselves() -> None:
    for ours, theirs in (([1, 2], [1, 3]), ([True, False], [True, True]), (["a", "b"], ["a", "c"])):
        accuracy = compared({"label": np.array(ours)}, {"label": np.array(theirs)})
        assert accuracy.agreement == 0.5
        assert accuracy.max_error == 0


def test_strings_that_are_no_text_are_compared_too() -> None:
    ours, theirs = (
        [{"label": Tensor(BYTES, [2], pack_elements([b"\xff", last]))}] for last in (b"a", b"\xfe")
    )
    assert compare(ours, ours).agreement == 1
    assert compare(ours, theirs).agreement == 0.5


def test_the_worst_output_counts() -> None:
    ours = scores([1, 2]) | {"label": np.array([1])}
    theirs = scores([1, 2]) | {"label": np.array([2])}
    assert compared(ours, theirs).agreement == 0


def test_a_regression_has_no_top_1() -> None:
    accuracy = compared(scores([1.0]), scores([1.5]))
    assert accuracy.agreement is None
    assert accuracy.max_error == pytest.approx(0.5)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_no_longer_finite_is_infinitely_wrong(broken: float) -> None:
    assert compared(scores([1, 2]), scores([1, broken])).max_error == math.inf
    assert compared(scores([1, broken]), scores([1, 2])).max_error == math.inf
    assert compared(scores([1, broken]), scores([1, broken])).max_error == 0


def test_zeros_are_right_or_infinitely_wrong() -> None:
    assert compared(scores([0, 0]), scores([0, 0])).max_error == 0
    assert compared(scores([0, 0]), scores([0, 1])).max_error == math.inf


def test_an_empty_output_says_nothing() -> None:
    accuracy = compared({"y": np.zeros((0, 3), np.float32)}, {"y": np.zeros((0, 3), np.float32)})
    assert (accuracy.max_error, accuracy.agreement) == (0, None)


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'scores' has shape \[1, 3\], the original's \[1, 2\]"):
        compared(scores([1, 2]), scores([1, 2, 3]))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=8), st.floats(0.5, 2))
def test_the_error_does_not_depend_on_the_unit(row: list[float], factor: float) -> None:
    ours, theirs = np.array([row], np.float64), np.array([row[::-1]], np.float64)
    plain = compared({"y": ours}, {"y": theirs}).max_error
    scaled = compared({"y": ours * factor}, {"y": theirs * factor}).max_error
    assert scaled == pytest.approx(plain, rel=1e-9)
