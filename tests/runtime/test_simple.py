from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.codecs.simple import SimpleForm
from inference_runtime.errors import InvalidInput, MalformedBody
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.tensor import BYTES, FP32, INT64, Tensor, pack_elements

PIXELS = TensorSpec("pixels", FP32, ["N", 2])
LABEL = TensorSpec("label", INT64, ["N"])
SCORES = TensorSpec("scores", FP32, ["N", 2])
CONSTANT = TensorSpec("constant", FP32, [2])
ONE_INPUT = Signature([PIXELS], [LABEL])
TWO_INPUTS = Signature([PIXELS, TensorSpec("text", BYTES, ["N", 1])], [LABEL, SCORES])


def floats(*rows: Any) -> Tensor:
    numbers = np.array(rows, "<f4")
    return Tensor(FP32, numbers.shape, numbers.tobytes())


def integers(*values: int) -> Tensor:
    return Tensor(INT64, [len(values)], np.array(values, "<i8").tobytes())


def form(signature: Signature = ONE_INPUT) -> SimpleForm:
    return SimpleForm(signature, "7", "string")


def answer(signature: Signature, body: Any, outputs: dict[str, Tensor]) -> Any:
    codec = form(signature)
    return codec.encode(codec.decode(body), outputs)


# Requests


def test_one_row_becomes_a_batch_of_one() -> None:
    call = form().decode({"features": [1, 2]})
    assert call.inputs["pixels"].shape == (1, 2)


@given(st.lists(st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 2)))
def test_a_batch_is_the_input_itself(rows: list[tuple[float, float]]) -> None:
    call = form().decode({"features": [list(row) for row in [(0.0, 0.0), *rows]]})
    expected = np.array([(0.0, 0.0), *rows], "<f4")
    assert call.inputs["pixels"].shape == expected.shape
    assert bytes(call.inputs["pixels"].buffer) == expected.tobytes()


def test_an_input_with_a_default_is_no_second_input() -> None:
    optional = TensorSpec("factor", FP32, [1], optional=True)
    codec = form(Signature([PIXELS, optional], [LABEL]))
    assert list(codec.decode({"features": [1, 2]}).inputs) == ["pixels"]
    assert list(codec.decode({"inputs": {"pixels": [[1, 2]], "factor": [3]}}).inputs) == [
        "pixels",
        "factor",
    ]


def test_a_fixed_first_dimension_is_no_batch() -> None:
    codec = form(Signature([TensorSpec("state", FP32, [2, 2])], [LABEL]))
    assert codec.decode({"features": [[1, 2], [3, 4]]}).inputs["state"].shape == (2, 2)
    with pytest.raises(InvalidInput, match=r"takes FP32\[2, 2\] as 'features', got shape \[2\]"):
        codec.decode({"features": [1, 2]})


def test_members_that_are_not_known_are_left_alone() -> None:
    assert form().decode({"features": [1, 2], "trace": {"id": 1}}).inputs


@pytest.mark.parametrize(
    ("signature", "body", "error", "message"),
    [
        (ONE_INPUT, [1, 2], MalformedBody, 'the body is a list; send an object: {"features": FP32'),
        (ONE_INPUT, None, MalformedBody, "the body is null; send an object"),
        (ONE_INPUT, True, MalformedBody, "the body is a boolean; send an object"),
        (ONE_INPUT, {}, MalformedBody, "the body has neither of 'features' and 'inputs'"),
        (ONE_INPUT, {"features": [1, 2], "inputs": {}}, MalformedBody, "has both of 'features'"),
        (ONE_INPUT, {"features": 1}, InvalidInput, "or one row of it"),
        (ONE_INPUT, {"features": [[[1, 2]]]}, InvalidInput, "got shape [1, 1, 2]"),
        (ONE_INPUT, {"features": [[1, 2], [3]]}, InvalidInput, "input 'pixels' is ragged"),
        (ONE_INPUT, {"features": "12"}, InvalidInput, 'takes numbers (FP32), got "12"'),
        (ONE_INPUT, {"inputs": [[1, 2]]}, MalformedBody, "'inputs' is a list; send an object"),
        (ONE_INPUT, {"inputs": {"x": [1]}}, InvalidInput, "unknown input 'x'; the inputs are"),
        (
            TWO_INPUTS,
            {"features": [1, 2]},
            InvalidInput,
            "'features' is for models with one input; this one takes 2: send"
            ' {"inputs": {"pixels": FP32[N, 2], "text": BYTES[N, 1]}}',
        ),
    ],
)
def test_what_the_form_does_not_read_is_refused(
    signature: Signature, body: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        form(signature).decode(body)
    assert message in str(raised.value)


# Answers


def test_one_row_is_answered_with_one_prediction() -> None:
    assert answer(ONE_INPUT, {"features": [1, 2]}, {"label": integers(4)}) == {
        "predictions": 4,
        "model_version": "7",
    }


def test_a_batch_is_answered_with_one_prediction_for_each_row() -> None:
    body = {"features": [[1, 2], [3, 4]]}
    assert answer(ONE_INPUT, body, {"label": integers(4, 5)})["predictions"] == [4, 5]


def test_a_batch_of_one_stays_a_list() -> None:
    assert answer(ONE_INPUT, {"features": [[1, 2]]}, {"label": integers(4)})["predictions"] == [4]


def test_several_outputs_are_objects_by_name() -> None:
    outputs = {"label": integers(4, 5), "scores": floats([0.5, 0.5], [0.25, 0.75])}
    assert answer(ONE_INPUT, {"features": [[1, 2], [3, 4]]}, outputs)["predictions"] == [
        {"label": 4, "scores": [0.5, 0.5]},
        {"label": 5, "scores": [0.25, 0.75]},
    ]


def test_labels_become_the_names_of_their_columns() -> None:
    scores = Tensor(FP32, [1, 2], np.array([[0.25, 0.75]], "<f4").tobytes(), labels=["no", 1])
    body = {"features": [1, 2]}
    assert answer(ONE_INPUT, body, {"scores": scores})["predictions"] == {"no": 0.25, "1": 0.75}


def test_outputs_that_are_not_row_by_row_come_as_they_are() -> None:
    outputs = {"label": integers(4, 5, 6), "scores": floats([1, 2])}
    body = {"features": [[1, 2], [3, 4]]}
    expected = {"label": [4, 5, 6], "scores": [[1.0, 2.0]]}
    assert answer(ONE_INPUT, body, outputs)["predictions"] == expected


def test_named_inputs_are_answered_with_named_outputs() -> None:
    body = {"inputs": {"pixels": [[1, 2]], "text": [["a"]]}}
    call = form(TWO_INPUTS).decode(body)
    assert call.inputs["text"].buffer == pack_elements([b"a"])
    assert answer(TWO_INPUTS, body, {"label": integers(4), "scores": floats([1, 2])}) == {
        "outputs": {"label": [4], "scores": [[1.0, 2.0]]},
        "model_version": "7",
    }


def test_values_that_json_cannot_spell_follow_the_policy() -> None:
    call = form().decode({"features": [1, 2]})
    outputs = {"scores": floats([np.nan, -np.inf])}
    assert form().encode(call, outputs)["predictions"] == ["NaN", "-Infinity"]
    as_null = SimpleForm(ONE_INPUT, "7", "null").encode(call, outputs)
    assert as_null["predictions"] == [None, None]
