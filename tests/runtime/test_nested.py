"""The nested lists of JSON, held to numpy and ml_dtypes."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inference_runtime.codecs.nested import decode, encode
from inference_runtime.errors import InvalidInput
from inference_runtime.tensor import (
    BF16,
    BOOL,
    BYTES,
    DATATYPES,
    FP16,
    FP32,
    FP64,
    Datatype,
    Tensor,
    pack_elements,
    unpack_elements,
)

INTEGERS = [datatype for datatype in DATATYPES.values() if datatype.kind == "int"]
FLOATS = [FP16, BF16, FP32, FP64]
NUMPY_FLOATS = {FP16: np.float16, BF16: ml_dtypes.bfloat16, FP32: np.float32, FP64: np.float64}
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
)


def numpy_integer(datatype: Datatype) -> np.dtype[Any]:
    return np.dtype(datatype.name.lower())


def to_numpy(tensor: Tensor, dtype: Any) -> np.ndarray:
    return np.frombuffer(bytes(tensor.buffer), dtype).reshape(tensor.shape)


def spelled(value: Any) -> Any:
    """``value`` with the floats that JSON cannot spell as ProtoJSON spells them."""
    if isinstance(value, list):
        return [spelled(item) for item in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


# Round trips


@pytest.mark.parametrize("datatype", INTEGERS, ids=repr)
@given(data=st.data())
def test_integers_are_read_and_written_as_numpy_does(
    datatype: Datatype, data: st.DataObject
) -> None:
    dtype = numpy_integer(datatype)
    numbers = data.draw(hnp.arrays(dtype, SHAPES))
    nest = numbers.tolist()
    assert encode(Tensor(datatype, numbers.shape, numbers.tobytes()), "string") == nest
    np.testing.assert_array_equal(
        to_numpy(decode(nest, datatype, "x"), dtype), np.array(nest, dtype)
    )


@pytest.mark.parametrize("datatype", FLOATS, ids=repr)
@given(data=st.data())
def test_floats_are_read_and_written_as_numpy_does(datatype: Datatype, data: st.DataObject) -> None:
    bits = data.draw(hnp.arrays(f"<u{datatype.itemsize}", SHAPES))
    numbers = bits.view(NUMPY_FLOATS[datatype])
    with np.errstate(invalid="ignore"):  # Some bits are signalling NaNs.
        nest = numbers.astype(np.float64).tolist()
    assert encode(Tensor(datatype, numbers.shape, numbers.tobytes()), "string") == spelled(nest)
    read = to_numpy(decode(spelled(nest), datatype, "x"), NUMPY_FLOATS[datatype])
    np.testing.assert_array_equal(read.astype(np.float64), np.array(nest))


@given(hnp.arrays(np.bool_, SHAPES))
def test_booleans_are_read_and_written_as_numpy_does(values: np.ndarray) -> None:
    nest = values.tolist()
    assert encode(Tensor(BOOL, values.shape, values.tobytes()), "string") == nest
    np.testing.assert_array_equal(to_numpy(decode(nest, BOOL, "x"), np.bool_), np.array(nest, bool))


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1))
def test_strings_travel_as_utf_8(rows: list[list[str]]) -> None:
    tensor = decode(rows, BYTES, "x")
    assert tensor.shape == (len(rows), 2)
    assert unpack_elements(tensor.buffer) == [text.encode() for row in rows for text in row]
    assert encode(tensor, "string") == rows


def test_strings_that_are_not_utf_8_are_not_written() -> None:
    tensor = Tensor(BYTES, (2,), pack_elements([b"a", b"\xff"]))
    with pytest.raises(InvalidInput, match=r"not UTF-8.*Open Inference Protocol"):
        encode(tensor, "string")


def test_scalars_are_bare_values() -> None:
    assert decode(1.5, FP32, "x").shape == ()
    assert encode(Tensor(FP32, (), np.float32(1.5).tobytes()), "string") == 1.5
    assert encode(Tensor(BYTES, (), pack_elements([b"a"])), "string") == "a"


@pytest.mark.parametrize("datatype", DATATYPES.values(), ids=repr)
@pytest.mark.parametrize(
    ("nest", "shape"), [([], (0,)), ([[], []], (2, 0)), ([[[]], [[]]], (2, 1, 0))]
)
def test_empty_dimensions_are_kept(datatype: Datatype, nest: Any, shape: tuple[int, ...]) -> None:
    tensor = decode(nest, datatype, "x")
    assert tensor.shape == shape
    assert encode(tensor, "string") == nest


# Rounding


@given(st.floats(-65504, 65504) | st.floats(-1e-4, 1e-4))
def test_fp16_rounds_as_numpy_does(number: float) -> None:
    assert bytes(decode([number], FP16, "x").buffer) == np.float16(number).tobytes()


@given(st.floats(width=32, allow_nan=False).filter(lambda f: abs(f) < 3.38e38 or math.isinf(f)))
def test_bf16_rounds_as_ml_dtypes_does(number: float) -> None:
    expected = np.float32(number).astype(ml_dtypes.bfloat16)
    assert bytes(decode([spelled(number)], BF16, "x").buffer) == expected.tobytes()


@pytest.mark.parametrize(
    ("bits", "rounded"), [(0x3F808000, 0x3F80), (0x3F818000, 0x3F82), (0x3F808001, 0x3F81)]
)
def test_bf16_ties_go_to_even(bits: int, rounded: int) -> None:
    number = float(np.array(bits, "<u4").view("<f4"))
    assert int.from_bytes(decode([number], BF16, "x").buffer, "little") == rounded


@pytest.mark.parametrize("datatype", FLOATS, ids=repr)
def test_whole_numbers_are_floats_too(datatype: Datatype) -> None:
    assert encode(decode([1, 2.5], datatype, "x"), "string") == [1.0, 2.5]


# Ranges


@pytest.mark.parametrize("datatype", INTEGERS, ids=repr)
def test_integers_beyond_their_range_are_refused(datatype: Datatype) -> None:
    limits = np.iinfo(numpy_integer(datatype))
    decode([int(limits.min), int(limits.max)], datatype, "x")
    for outside in (int(limits.min) - 1, int(limits.max) + 1):
        with pytest.raises(InvalidInput, match=f"input 'x' does not fit {datatype}"):
            decode([0, outside], datatype, "x")


# The first that would be rounded to infinity.
FIRST_BEYOND = {FP16: 65520.0, BF16: 2.0**128 - 2.0**119, FP32: 2.0**128 - 2.0**103}


@pytest.mark.parametrize("datatype", [FP16, BF16, FP32], ids=repr)
@pytest.mark.parametrize("sign", [1, -1])
def test_finite_floats_never_become_infinite(datatype: Datatype, sign: int) -> None:
    largest = float(ml_dtypes.finfo(NUMPY_FLOATS[datatype]).max)
    within = math.nextafter(FIRST_BEYOND[datatype], 0)
    if datatype is BF16:  # which is rounded from a float32
        within = float(np.nextafter(np.float32(FIRST_BEYOND[BF16]), np.float32(0)))
    for number in (largest, within):
        assert encode(decode([sign * number], datatype, "x"), "string") == [sign * largest]
    beyond = sign * FIRST_BEYOND[datatype]
    # After a NaN, every comparison with the extremes is false.
    for nest in ([0.0, beyond], ["NaN", beyond]):
        with pytest.raises(InvalidInput, match=rf"does not fit {datatype}: .* at element 1 is"):
            decode(nest, datatype, "x")


def test_integers_that_no_float_can_hold_are_refused() -> None:
    for datatype in FLOATS:
        with pytest.raises(InvalidInput, match="does not fit"):
            decode([10**400], datatype, "x")


# Values that JSON cannot spell


@pytest.mark.parametrize("datatype", FLOATS, ids=repr)
def test_the_policy_null_writes_null(datatype: Datatype) -> None:
    tensor = decode([1, "NaN", "Infinity", "-Infinity"], datatype, "x")
    assert encode(tensor, "null") == [1.0, None, None, None]
    assert encode(tensor, "string") == [1.0, "NaN", "Infinity", "-Infinity"]


def test_a_sum_that_overflows_spells_nothing() -> None:
    assert encode(Tensor(FP64, [2], np.array([1e308, 1e308]).tobytes()), "null") == [1e308, 1e308]


# What is refused


@pytest.mark.parametrize(
    ("datatype", "element", "message"),
    [
        ("BOOL", 1, "takes true or false (BOOL), got 1 at element 1"),
        ("BOOL", 2**70, f"takes true or false (BOOL), got {2**70}"),
        ("INT64", 1.0, "takes integers (INT64), got 1.0"),
        ("INT64", True, "takes integers (INT64), got true"),
        ("INT64", "NaN", 'takes integers (INT64), got "NaN"'),
        ("FP32", True, "takes numbers (FP32), got true"),
        ("FP32", None, "takes numbers (FP32), got null"),
        ("FP32", "nan", 'takes numbers (FP32), got "nan"'),
        ("FP32", "1.0", 'takes numbers (FP32), got "1.0"'),
        ("FP32", {"value": 1}, "takes numbers (FP32), got an object"),
        ("FP32", "x" * 1000, f'takes numbers (FP32), got "{"x" * 39}…'),
        ("FP32", "\ud800", 'takes numbers (FP32), got "\\ud800"'),
        ("BYTES", 1, "takes strings (BYTES), got 1"),
        ("BYTES", "\ud800", "does not fit BYTES"),
    ],
)
def test_elements_of_another_type_are_refused(datatype: str, element: Any, message: str) -> None:
    good = {"bool": True, "int": 1, "float": 1.0, "bytes": "a"}[DATATYPES[datatype].kind]
    with pytest.raises(InvalidInput) as raised:
        decode([good, element], DATATYPES[datatype], "x")
    assert str(raised.value).startswith("input 'x' ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("nest", "message"),
    [
        ([[1, 2], [3]], "lists of 1 and of 2 elements at depth 1"),
        ([[[1], [2]], [[3]]], "lists of 1 and of 2 elements at depth 1"),
        ([[[1], [2, 3]]], "lists of 1 and of 2 elements at depth 2"),
        ([1, [2]], "lists and values at depth 1"),
        ([[1], {}], "lists and values at depth 1"),
    ],
)
def test_ragged_nests_are_refused(nest: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"input 'x' is ragged: {message}"):
        decode(nest, FP32, "x")


@given(hnp.array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=4), st.data())
def test_one_element_less_anywhere_is_ragged(shape: tuple[int, ...], data: st.DataObject) -> None:
    nest = np.zeros(shape).tolist()
    row = nest
    for size in shape[:-1]:
        row = row[data.draw(st.integers(0, size - 1))]
    row.pop()
    with pytest.raises(InvalidInput, match="ragged"):
        decode(nest, FP32, "x")


@pytest.mark.parametrize("datatype", DATATYPES.values(), ids=repr)
@given(value=JSON)
def test_any_json_value_is_a_tensor_or_the_callers_mistake(datatype: Datatype, value: Any) -> None:
    try:
        tensor = decode(value, datatype, "x")
    except InvalidInput:
        return
    assert tensor.shape == np.array(value, object).shape


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_a_deep_nest_overflows_no_stack(depth: int) -> None:
    nest: Any = [1.0]
    for _ in range(depth - 1):
        nest = [nest]
    assert decode(nest, FP32, "x").shape == (1,) * depth


def test_a_deep_object_is_refused_like_any_other() -> None:
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"deeper": deep}
    with pytest.raises(InvalidInput, match="got an object at element 1"):
        decode([1.0, deep], FP32, "x")
