"""The names of an ONNX file's external data, read without the package ``onnx``.

A walk over the protobuf fields of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto that can
hold a tensor, skipping the rest unread: of a file of any size only a few pages are touched.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap

from inference_runtime.errors import ModelNotLoaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# Of each message, the fields that can hold a tensor, and the message they are.
_FIELDS: Final = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse_tensor",
        23: "sparse_tensor",
    },
    "sparse_tensor": {1: "tensor", 2: "tensor"},
}  # fmt: skip
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor
_KEY, _VALUE = 1, 2  # of an entry of its external data
_EXTERNAL = 1
_LOCATION = b"location"
_MAX_DEPTH = 100  # protobuf's own: https://protobuf.dev/programming-guides/proto-limits

# protobuf's wire types: https://protobuf.dev/programming-guides/encoding
_VARINT, _BYTES = 0, 2
_FIXED_SIZES: Final = {1: 8, 5: 4}
_MAX_VARINT_BITS = 64

# onnxruntime's own format, which has no external data, has this after its first four bytes.
ORT_IDENTIFIER: Final = b"ORTM"


def external_data(path: str, uri: str, size: int = 0) -> list[str]:
    """The paths of an ONNX file's external data, relative to its folder, in order.

    Args:
        path: of the file.
        uri: of the model, for messages; it ends with the file's own name.
        size: of the content, where the file holds more than that; 0 for all.

    Raises:
        ModelNotLoaded: it is missing, empty or cut short, or names a file outside its folder.
    """
    try:
        with open(path, "rb") as file, mmap(file.fileno(), size, access=ACCESS_READ) as data:
            locations = _locations(data)
    except (OSError, ValueError) as error:
        raise ModelNotLoaded(
            f"{uri} is no complete ONNX file ({error}): export or upload it again"
        ) from error
    for location in locations:
        _check_inside(location, os.path.basename(uri), uri)
    return sorted(locations)


def _check_inside(location: str, own_name: str, uri: str) -> None:
    normal = os.path.normpath(location)
    outside = os.path.isabs(location) or normal.split("/")[0] == ".."
    if outside or "\0" in location or normal in (".", own_name):
        raise ModelNotLoaded(
            f"{uri} refers to external data in {location!r}, which is not a file of its own beside"
            " it or in a folder below: save the model again with"
            " onnx.save(…, save_as_external_data=True)"
        )


def _locations(data: mmap) -> set[str]:
    if data[4:8] == ORT_IDENTIFIER:
        return set()
    found = set()
    messages = [("model", 0, len(data), 0)]
    while messages:
        message, first, last, depth = messages.pop()
        if depth > _MAX_DEPTH:
            raise ValueError("its messages are nested too deeply")
        for number, wire, start, end in _fields(data, first, last):
            child = _FIELDS[message].get(number)
            if child is None or wire != _BYTES:
                continue
            if child == "tensor":
                found.add(_tensor_location(data, start, end))
            # Nodes are many, and few hold a tensor with external data.
            elif child != "node" or data.find(_LOCATION, start, end) >= 0:
                messages.append((child, start, end, depth + 1))
    return found - {""}


def _tensor_location(data: mmap, first: int, last: int) -> str:
    """Where a tensor's elements are; empty when they are in the file itself."""
    location, is_external = "", False
    for number, wire, start, end in _fields(data, first, last):
        if number == _DATA_LOCATION and wire == _VARINT:
            is_external = start == _EXTERNAL
        elif number == _EXTERNAL_DATA and wire == _BYTES:
            entry = {key: data[a:b] for key, _, a, b in _fields(data, start, end)}
            if entry.get(_KEY) == _LOCATION:
                location = entry.get(_VALUE, b"").decode()
    if is_external and not location:
        raise ValueError("a tensor's external data has no location")
    return location if is_external else ""


def _fields(data: mmap, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and end of each field; a varint's start is its value."""
    while position < end:
        tag, position = _varint(data, position, end)
        number, wire = tag >> 3, tag & 7
        start = position
        if wire == _BYTES:
            length, start = _varint(data, position, end)
            position = start + length
        elif wire == _VARINT:
            start, position = _varint(data, position, end)
        elif wire in _FIXED_SIZES:
            position += _FIXED_SIZES[wire]
        else:
            raise ValueError(f"wire type {wire} at byte {start:,}")
        if position > end:
            raise ValueError(f"it ends within the field at byte {start:,}")
        yield number, wire, start, position


def _varint(data: mmap, position: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and the position after it."""
    value = 0
    for shift in range(0, _MAX_VARINT_BITS, 7):
        if position >= end:
            raise ValueError("it ends within a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"a number of more than {_MAX_VARINT_BITS} bits at byte {position:,}")
