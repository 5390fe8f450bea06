"""What a run of the C library takes: numbers without a copy, strings each copied, and options."""

from __future__ import annotations

from ctypes import (
    POINTER,
    addressof,
    byref,
    c_char,
    c_char_p,
    c_int64,
    c_size_t,
    c_void_p,
    cast,
    create_string_buffer,
    memmove,
)
from functools import lru_cache
from itertools import pairwise

from inference_runtime.engine.options import LOG_OF_RUNS
from inference_runtime.tensor import BYTES, pack_elements, unpack_elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.engine.capi.library import Handle, Library
    from inference_runtime.tensor import Tensor

# ONNXTensorElementDataType by number.
ELEMENT_TYPES: Final = {
    1: "FP32", 2: "UINT8", 3: "INT8", 4: "UINT16", 5: "INT16", 6: "INT32", 7: "INT64",
    8: "BYTES", 9: "BOOL", 10: "FP16", 11: "FP64", 12: "UINT32", 13: "UINT64", 16: "BF16",
}  # fmt: skip
_NUMBERS: Final = {name: number for number, name in ELEMENT_TYPES.items()}


def run_options(library: Library) -> Handle:
    """Options of a run that writes no line of its own: what fails, it returns."""
    options = library.make(library.CreateRunOptions, library.ReleaseRunOptions)
    library.RunOptionsSetRunLogSeverityLevel(options, LOG_OF_RUNS)
    return options


def put(library: Library, memory: Handle, tensor: Tensor, place: Any) -> Any:
    """Write into ``place`` a value of the library's with the elements of ``tensor``.

    Args:
        library: makes the value.
        memory: of what kind the tensor's buffer is.
        tensor: of any datatype.
        place: a pointer to where the value's address goes.

    Returns:
        What stays as long as the value, which may point into it.

    Raises:
        OrtFailure: it cannot be made.
        ValueError: strings are not as many as the shape asks for.
    """
    if tensor.datatype is BYTES:
        return _put_strings(library, tensor, place)
    buffer = _pinned(tensor)
    point(library, memory, tensor, buffer, place)
    return buffer


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


def strings_of(library: Library, value: int | None, count: int) -> bytes:
    """The buffer of a ``BYTES`` tensor with the ``count`` strings that ``value`` has.

    Raises:
        OrtFailure: they cannot be read.
    """
    length = library.get(c_size_t, library.GetStringTensorDataLength, value)
    content = create_string_buffer(length)
    starts = (c_size_t * count)()
    library.GetStringTensorContent(value, content, length, starts, count)
    data = content.raw
    return pack_elements(data[start:end] for start, end in pairwise([*starts, length]))


def _put_strings(library: Library, tensor: Tensor, place: Any) -> None:
    elements = unpack_elements(tensor.buffer)
    if len(elements) != tensor.size:
        raise ValueError(f"{tensor} takes {tensor.size} strings, not {len(elements)}")
    rank = len(tensor.shape)
    library.CreateTensorAsOrtValue(
        library.allocator, (c_int64 * rank)(*tensor.shape), rank, _NUMBERS[BYTES.name], place
    )
    value = cast(place, POINTER(c_void_p))[0]
    room = c_void_p()
    for index, element in enumerate(elements):
        library.GetResizedStringTensorElementBuffer(value, index, len(element), byref(room))
        memmove(room, element, len(element))


def _pinned(tensor: Tensor) -> Any:
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
def c_names(names: tuple[str, ...]) -> Any:
    """``names`` as C has them."""
    return (c_char_p * len(names))(*(name.encode() for name in names))
