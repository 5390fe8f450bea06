from __future__ import annotations

import pytest
from inference_runtime.errors import InvalidInput
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.tensor import FP32, FP64, INT64, Datatype, Tensor

SIGNATURE = Signature(
    [
        TensorSpec("pixels", FP32, ["batch", 2]),
        TensorSpec("weight", FP32, ["batch", None]),
        TensorSpec("top", INT64, [], optional=True),
    ],
    [TensorSpec("label", INT64, ["batch"])],
)


def zeros(datatype: Datatype, *shape: int) -> Tensor:
    size = datatype.itemsize
    for dimension in shape:
        size *= dimension
    return Tensor(datatype, shape, bytes(size))


def test_a_spec_reads_like_a_declaration() -> None:
    assert str(SIGNATURE.inputs["pixels"]) == "FP32[batch, 2]"
    assert str(SIGNATURE.inputs["weight"]) == "FP32[batch, ?]"
    assert str(SIGNATURE.inputs["top"]) == "INT64[]"


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_dynamic_dimensions_take_any_size(rows: int) -> None:
    given = {"pixels": zeros(FP32, rows, 2), "weight": zeros(FP32, rows, 5)}
    SIGNATURE.check_inputs(given)
    SIGNATURE.check_inputs({**given, "top": zeros(INT64)})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": zeros(FP32, 1)}, "unknown input 'x'; the inputs are 'pixels', 'weight', 'top'"),
        ({"pixels": zeros(FP64, 1, 2)}, "input 'pixels' takes FP32[batch, 2], got datatype FP64"),
        ({"pixels": zeros(FP32, 2)}, "input 'pixels' takes FP32[batch, 2], got shape [2]"),
        ({"pixels": zeros(FP32, 1, 3)}, "input 'pixels' takes FP32[batch, 2], got shape [1, 3]"),
        ({"top": zeros(INT64, 1)}, "input 'top' takes INT64[], got shape [1]"),
        (
            {"weight": zeros(FP32, 4, 1)},
            "dimension 'batch' is 1 in input 'pixels' and 4 in input 'weight';"
            " both must be the same",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changed: dict[str, Tensor], message: str) -> None:
    given = {"pixels": zeros(FP32, 1, 2), "weight": zeros(FP32, 1, 1), **changed}
    with pytest.raises(InvalidInput) as raised:
        SIGNATURE.check_inputs(given)
    assert str(raised.value) == message


def test_every_missing_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="missing input 'pixels', 'weight'; the inputs are"):
        SIGNATURE.check_inputs({})


def test_an_unknown_output_is_refused() -> None:
    SIGNATURE.check_outputs(["label"])
    with pytest.raises(InvalidInput, match="unknown output 'score'; the outputs are 'label'"):
        SIGNATURE.check_outputs(["score"])


def test_a_small_tensor_has_the_rows_that_are_asked_for_where_their_number_is_free() -> None:
    assert TensorSpec("x", FP32, ["batch", None, 64]).sizes() == [1, 1, 64]
    assert TensorSpec("x", FP32, ["batch", None, 64]).sizes(rows=3) == [3, 1, 64]
    assert TensorSpec("x", FP32, [2, "width"]).sizes(rows=3) == [2, 1]
    assert TensorSpec("x", FP32, []).sizes(rows=3) == []
