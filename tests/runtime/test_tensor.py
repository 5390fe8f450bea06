from __future__ import annotations

from array import array

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.tensor import (
    BYTES,
    DATATYPES,
    FP32,
    INT64,
    Datatype,
    Tensor,
    pack_elements,
    unpack_elements,
)

NUMPY_TYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
    "UINT64": np.uint64, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "BF16": ml_dtypes.bfloat16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip


def test_the_datatypes_are_those_of_the_open_inference_protocol_and_bf16() -> None:
    assert DATATYPES.keys() == {*NUMPY_TYPES, "BYTES"}


@pytest.mark.parametrize("name", NUMPY_TYPES)
def test_an_element_takes_as_many_bytes_as_numpys(name: str) -> None:
    assert DATATYPES[name].itemsize == np.dtype(NUMPY_TYPES[name]).itemsize
    if DATATYPES[name].typecode:
        assert array(DATATYPES[name].typecode).itemsize == DATATYPES[name].itemsize


@pytest.mark.parametrize("datatype", [d for d in DATATYPES.values() if d is not BYTES], ids=repr)
def test_a_buffer_of_another_length_is_refused(datatype: Datatype) -> None:
    size = 6 * datatype.itemsize
    assert Tensor(datatype, [2, 3], bytes(size)).size == 6
    with pytest.raises(ValueError, match=rf"{datatype}\[2, 3\] takes {size} bytes, not {size + 1}"):
        Tensor(datatype, [2, 3], bytes(size + 1))


def test_a_buffer_of_any_shape_is_read_as_bytes() -> None:
    numbers = np.arange(6, dtype="<f4").reshape(2, 3)
    assert bytes(Tensor(FP32, (2, 3), numbers.data).buffer) == numbers.tobytes()
    assert bytes(Tensor(INT64, (2,), array("q", [1, 2])).buffer) == array("q", [1, 2]).tobytes()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (2, 0, 3)])
def test_a_dimension_of_zero_makes_an_empty_buffer(shape: tuple[int, ...]) -> None:
    tensor = Tensor(FP32, shape, np.zeros(shape, "<f4").data)
    assert tensor.size == 0
    assert tensor.buffer.nbytes == 0


def test_a_scalar_has_one_element() -> None:
    assert Tensor(FP32, (), bytes(4)).size == 1


@given(st.lists(st.binary()))
def test_elements_come_back_from_their_buffer(elements: list[bytes]) -> None:
    assert unpack_elements(pack_elements(elements)) == elements


@given(st.lists(st.binary(), min_size=1), st.data())
def test_a_buffer_that_ends_early_is_refused(elements: list[bytes], data: st.DataObject) -> None:
    last = len(pack_elements(elements[-1:]))
    buffer = pack_elements(elements)
    cut = data.draw(st.integers(1, last - 1))
    with pytest.raises(ValueError, match="ends inside an element"):
        unpack_elements(buffer[:-cut])
