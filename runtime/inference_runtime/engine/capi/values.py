"""Tensors as values of the C library, without a copy."""

from __future__ import annotations

from ctypes import addressof, byref, c_char, c_char_p, c_int64
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.engine.capi.library import Handle, Library
    from inference_runtime.tensor import Tensor

# ONNXTensorElementDataType by number; strings are left to the stock engine.
ELEMENT_TYPES: Final = {
    1: "FP32", 2: "UINT8", 3: "INT8", 4: "UINT16", 5: "INT16", 6: "INT32", 7: "INT64", 9: "BOOL",
    10: "FP16", 11: "FP64", 12: "UINT32", 13: "UINT64", 16: "BF16",
}  # fmt: skip
_NUMBERS: Final = {name: number for number, name in ELEMENT_TYPES.items()}


def point(library: Library, memory: Handle, tensor: Tensor, buffer: Any, place: Any) -> None:
    """Write into ``place`` a value of the library's over ``buffer``, of the form of ``tensor``.

    Args:
        library: makes the value.
        memory: of what kind the buffer is.
        tensor: tells datatype and shape.
        buffer: a pointer to the elements, which stay there as long as the value.
        place: a pointer to where the value's address goes.

    Raises:
        OrtFailure: it cannot be made.
    """
    rank = len(tensor.shape)
    library.CreateTensorWithDataAsOrtValue(
        memory, buffer, tensor.buffer.nbytes, (c_int64 * rank)(*tensor.shape), rank,
        _NUMBERS[tensor.datatype.name], place,
    )  # fmt: skip


def pinned(tensor: Tensor) -> Any:
    """A pointer to the tensor's elements that keeps them where they are.

    ctypes points only into whole bytes objects and writable memory, and kernels read elements at
    their natural alignment: other buffers (a slice of a request, for example) are copied.
    """
    whole = tensor.buffer.obj
    if type(whole) is bytes and len(whole) == tensor.buffer.nbytes:
        return c_char_p(whole)
    if not tensor.buffer.readonly:
        first = c_char.from_buffer(tensor.buffer)
        if addressof(first) % tensor.datatype.itemsize == 0:
            return byref(first)
    return c_char_p(bytes(tensor.buffer))


@lru_cache(maxsize=64)  # the same few of one model, request after request
def strings(names: tuple[str, ...]) -> Any:
    """``names`` as C has them."""
    return (c_char_p * len(names))(*(name.encode() for name in names))
