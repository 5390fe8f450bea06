"""Tensors as numpy arrays, both ways, for what runs on numpy: the stock engine and pipelines.

numpy has no bfloat16: such a tensor is an array of its bits, as ``uint16``. Strings are objects.
"""

from __future__ import annotations

import numpy as np

from inference_runtime.errors import InvalidInput
from inference_runtime.tensor import BYTES, Tensor, pack_elements, unpack_elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from inference_runtime.tensor import Datatype, Label

    Array = np.ndarray[Any, Any]

_NUMPY_TYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "BF16": "<u2", "FP32": "<f4", "FP64": "<f8", "BYTES": "O",
}  # fmt: skip


def to_array(tensor: Tensor) -> Array:
    """The elements of ``tensor``, without a copy unless they are strings.

    Raises:
        InvalidInput: a string is not UTF-8.
    """
    if tensor.datatype is BYTES:
        elements = [_text(element) for element in unpack_elements(tensor.buffer)]
        return np.array(elements, dtype=object).reshape(tensor.shape)
    return np.frombuffer(tensor.buffer, _NUMPY_TYPES[tensor.datatype.name]).reshape(tensor.shape)


def to_tensor(array: Array, datatype: Datatype, labels: Sequence[Label] | None = None) -> Tensor:
    """``array``, whose type is that of ``datatype``, without a copy where it is contiguous."""
    if datatype is BYTES:
        return Tensor(BYTES, array.shape, pack_elements(str(e).encode() for e in array.ravel()))
    return Tensor(datatype, array.shape, np.ascontiguousarray(array).data, labels)


def has_type(array: Array, datatype: Datatype) -> bool:
    """Whether ``array`` is numpy's and holds elements of ``datatype``; any of numpy's strings is
    ``BYTES``.
    """
    if not isinstance(array, (np.ndarray, np.generic)):
        return False
    if datatype is BYTES:
        return array.dtype.kind in "OUT"
    return bool(array.dtype == np.dtype(_NUMPY_TYPES[datatype.name]))


def _text(element: bytes) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"strings must be UTF-8 for this model: {error}") from None
