from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime import fusion
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.tensor import BYTES, FP32, INT64, Tensor, pack_elements

COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=5)


def numbers(rows: int, columns: int = 2, start: int = 0) -> Tensor:
    array = np.arange(start, start + rows * columns, dtype="<f4").reshape(rows, columns)
    return Tensor(FP32, array.shape, array.tobytes())


def texts(rows: int) -> Tensor:
    return Tensor(BYTES, [rows], pack_elements(b"x" * row for row in range(rows)))


@given(COUNTS)
def test_what_is_fused_splits_into_the_same(counts: list[int]) -> None:
    calls = [
        {"x": numbers(count, start=7 * i), "t": texts(count)} for i, count in enumerate(counts)
    ]
    fused = fusion.fuse(calls)
    assert fused["x"].shape == (sum(counts), 2)
    for call, part in zip(calls, fusion.split(fused, counts), strict=True):
        for name, tensor in call.items():
            assert part[name].shape == tensor.shape
            assert bytes(part[name].buffer) == bytes(tensor.buffer)


def test_labels_stay_with_each_part() -> None:
    scores = Tensor(FP32, [2, 2], bytes(16), ["no", "yes"])
    assert [part["s"].labels for part in fusion.split({"s": scores}, [1, 1])] == [["no", "yes"]] * 2


def test_an_output_with_other_rows_cannot_be_split() -> None:
    with pytest.raises(ValueError, match=r"shape \[1, 2\] for 3 rows"):
        fusion.split({"y": numbers(1)}, [1, 2])


def test_calls_fit_together_by_names_types_columns_and_outputs() -> None:
    kind = fusion.kind({"x": numbers(1)}, ["y"])
    assert kind == fusion.kind({"x": numbers(5)}, ["y"])
    assert kind != fusion.kind({"x": numbers(1, columns=3)}, ["y"])
    assert kind != fusion.kind({"x": numbers(1)}, ["z"])
    assert kind != fusion.kind({"z": numbers(1)}, ["y"])


def test_calls_of_several_row_counts_or_none_fit_no_other() -> None:
    assert fusion.kind({"a": numbers(1), "b": numbers(2)}, []) is None
    assert fusion.kind({"a": Tensor(FP32, [], bytes(4))}, []) is None
    assert fusion.kind({}, []) is None


@pytest.mark.parametrize(
    ("input_shape", "output_shape", "can"),
    [
        (["N", 2], ["N"], True),
        ([None, 2], [None, 3], True),
        ([1, 2], [1], False),
        (["N", 2], [3], False),
        (["N", 2], [], False),
    ],
)
def test_only_models_of_any_number_of_rows_can_fuse(
    input_shape: list[int | str | None], output_shape: list[int | str | None], can: bool
) -> None:
    signature = Signature(
        [TensorSpec("x", FP32, input_shape)], [TensorSpec("y", INT64, output_shape)]
    )
    assert fusion.can_fuse(signature) is can
