"""Tensors as numpy arrays, both ways."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from inference_runtime.tensor import BYTES, DATATYPES, Tensor, pack_elements, unpack_elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.tensor import Datatype

    Array = np.ndarray[Any, Any]

NUMPY_TYPES: Final = {
    "BOOL": np.dtype(np.bool_), "UINT8": np.dtype(np.uint8), "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32), "UINT64": np.dtype(np.uint64), "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16), "INT32": np.dtype(np.int32), "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16), "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype(np.float32), "FP64": np.dtype(np.float64), "BYTES": np.dtype(object),
}  # fmt: skip


def to_array(tensor: Tensor) -> Array:
    """The elements of ``tensor``; strings as ``str`` objects, of any bytes."""
    if tensor.datatype is BYTES:
        strings = unpack_elements(tensor.buffer)
        elements = [string.decode(errors="surrogateescape") for string in strings]
        return np.array(elements, dtype=object).reshape(tensor.shape)
    return np.frombuffer(tensor.buffer, NUMPY_TYPES[tensor.datatype.name]).reshape(tensor.shape)


def to_tensor(array: Array, datatype: Datatype) -> Tensor:
    """``array``, whose type is that of ``datatype`` already."""
    if datatype is BYTES:
        return Tensor(BYTES, array.shape, pack_elements(str(e).encode() for e in array.ravel()))
    return Tensor(datatype, array.shape, array.tobytes())


def datatype_of(array: Array) -> Datatype | None:
    """The Open Inference Protocol's type of an array; ``None`` where it has none."""
    if array.dtype.kind in "US":
        return BYTES
    names = [name for name, dtype in NUMPY_TYPES.items() if dtype == array.dtype]
    return DATATYPES[names[0]] if names else None
