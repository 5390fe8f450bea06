"""Tensors as JSON's nested lists, both ways, without numpy.

Not-a-number and the infinities have no JSON literal. They are read and written as ProtoJSON has
them (https://protobuf.dev/programming-guides/json/): the strings ``"NaN"``, ``"Infinity"`` and
``"-Infinity"``. With the policy ``null`` they are written as ``null``.
"""

from __future__ import annotations

from array import array
from itertools import chain
from math import inf, isfinite, nan
from struct import error, pack, unpack

from inference_runtime.errors import InvalidInput
from inference_runtime.tensor import (
    BF16,
    BOOL,
    BYTES,
    FP16,
    Tensor,
    pack_elements,
    unpack_elements,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from inference_runtime.jsonio import Json
    from inference_runtime.tensor import Datatype

_FROM_TEXT = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}
_LARGEST = {
    "FP16": 65504.0,
    "BF16": 3.3895313892515355e38,
    "FP32": 3.4028234663852886e38,
    "FP64": 1.7976931348623157e308,
}
_ALLOWED_TYPES: dict[str, frozenset[type]] = {
    "bool": frozenset({bool}),
    "int": frozenset({int}),
    "float": frozenset({int, float}),
    "bytes": frozenset({str}),
}


def decode(value: Json, datatype: Datatype, name: str) -> Tensor:
    """The tensor of ``datatype`` that the nested list ``value`` spells.

    Args:
        value: nested lists of one depth and equal lengths, or a single value for a scalar.
        datatype: what the model takes.
        name: the input's name, for messages.

    Raises:
        InvalidInput: the nest is ragged, or an element is of another type or out of range.
    """
    shape, buffer = read(value, datatype, name)
    return Tensor(datatype, shape, buffer)


def read(value: Json, datatype: Datatype, name: str) -> tuple[list[int], bytes | array[Any]]:
    """The shape and the buffer of the tensor that ``decode`` makes."""
    shape, values, types = _flatten(value, name)
    if not types <= _ALLOWED_TYPES[datatype.kind]:
        values = _with_non_finite(values, datatype, name)
    return shape, _pack(values, datatype, name)


def encode(tensor: Tensor, non_finite: str) -> Json:
    """The nested list of ``tensor``, with the policy ``non_finite`` for what JSON cannot spell.

    Raises:
        InvalidInput: as ``elements``.
    """
    return _nest(elements(tensor, non_finite), tensor.shape)


def elements(tensor: Tensor, non_finite: str) -> list[Json]:
    """The elements of ``tensor`` in C order, with the policy ``non_finite``.

    Raises:
        InvalidInput: strings of the answer are not UTF-8.
    """
    values = _unpack(tensor)
    # A sum is finite only if every element is; the slow path then looks at each.
    if tensor.datatype.kind == "float" and not isfinite(sum(values)):
        return [value if isfinite(value) else _spell(value, non_finite) for value in values]
    return values


def _flatten(value: Json, name: str) -> tuple[list[int], list[Any], set[type]]:
    shape: list[int] = []
    level: list[Any] = [value]
    types: set[type] = {type(value)}
    while list in types:
        if len(types) > 1:
            raise InvalidInput(f"input {name!r} is ragged: lists and values at depth {len(shape)}")
        lengths = set(map(len, level))
        if len(lengths) > 1:
            raise InvalidInput(
                f"input {name!r} is ragged: lists of {min(lengths)} and of {max(lengths)} elements"
                f" at depth {len(shape)}"
            )
        shape.append(lengths.pop())
        level = level[0] if len(level) == 1 else list(chain.from_iterable(level))
        types = _types(level)
    return shape, level, types


def _types(values: list[Any]) -> set[type]:
    """Those that occur. Most lists are of floats alone, which is told in two thirds of the time."""
    each = list(map(type, values))
    return {float} if each.count(float) == len(each) else set(each)


def _with_non_finite(elements: list[Any], datatype: Datatype, name: str) -> list[Any]:
    """``elements`` with ProtoJSON's strings as floats; anything else of a wrong type is refused."""
    allowed = _ALLOWED_TYPES[datatype.kind]
    replaced = []
    for index, element in enumerate(elements):
        if type(element) in allowed:
            replaced.append(element)
        elif datatype.kind == "float" and type(element) is str and element in _FROM_TEXT:
            replaced.append(_FROM_TEXT[element])
        else:
            wanted = {"bool": "true or false", "int": "integers", "float": "numbers"}
            raise InvalidInput(
                f"input {name!r} takes {wanted.get(datatype.kind, 'strings')} ({datatype}),"
                f" got {_shown(element)} at element {index}"
            )
    return replaced


def _pack(elements: list[Any], datatype: Datatype, name: str) -> bytes | array[Any]:
    try:
        if datatype is BOOL:
            return bytes(elements)
        if datatype is BYTES:
            return pack_elements(element.encode() for element in elements)
        if datatype is BF16:
            return _round_to_bf16(array("f", pack(f"<{len(elements)}f", *elements)))
        # Several times as fast as array, and it refuses what would become an infinity.
        return pack(f"<{len(elements)}{datatype.typecode or 'e'}", *elements)
    except (OverflowError, UnicodeEncodeError, error) as reason:
        _check_range(elements, datatype, name)
        raise InvalidInput(f"input {name!r} does not fit {datatype}: {reason}") from None


def _check_range(elements: list[Any], datatype: Datatype, name: str) -> None:
    """Refuse numbers that ``datatype`` cannot hold, of floats those that would become infinite."""
    if datatype.kind not in ("int", "float"):
        return
    least, most = _range(datatype)
    if not elements or (least <= min(elements) and max(elements) <= most):
        return
    for index, element in enumerate(elements):
        if (most < element or element < least) and abs(element) != inf:
            bounds = f"±{most:g}" if datatype.kind == "float" else f"{least} to {most}"
            raise InvalidInput(
                f"input {name!r} does not fit {datatype}: {_shown(element)} at element {index} is"
                f" beyond {bounds}"
            )


def _range(datatype: Datatype) -> tuple[float, float]:
    if datatype.kind == "float":
        most = _LARGEST[datatype.name]
        return -most, most
    bits = 8 * datatype.itemsize
    return (
        (0, 2**bits - 1) if datatype.name.startswith("U") else (-(2**bits) // 2, 2**bits // 2 - 1)
    )


def _round_to_bf16(singles: array[float]) -> array[int]:
    """The upper halves of ``singles``, rounded to nearest, ties to even.

    Raises:
        OverflowError: one would become infinite.
    """
    bits = memoryview(singles).cast("B").cast("I") if singles else ()
    return array("H", [_round_half(b) if b & 0x7FFFFFFF <= 0x7F800000 else 0x7FC0 for b in bits])


def _round_half(bits: int) -> int:
    half = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    if half & 0x7FFF == 0x7F80 and bits & 0xFFFF:
        raise OverflowError
    return half


def _unpack(tensor: Tensor) -> list[Any]:
    datatype = tensor.datatype
    if not tensor.size:
        return []
    if datatype is BYTES:
        return _texts(tensor)
    if datatype is BOOL:
        return tensor.buffer.cast("?").tolist()
    if datatype is FP16:
        return list(unpack(f"<{tensor.size}e", tensor.buffer))
    if datatype is BF16:
        singles = array("I", [half << 16 for half in tensor.buffer.cast("H")])
        return memoryview(singles).cast("B").cast("f").tolist()
    view: Any = tensor.buffer
    return view.cast(datatype.typecode).tolist()  # type: ignore[no-any-return]


def _texts(tensor: Tensor) -> list[str]:
    try:
        return [element.decode() for element in unpack_elements(tensor.buffer)]
    except UnicodeDecodeError:
        raise InvalidInput(
            "the answer has strings that are not UTF-8, which this form cannot carry: ask for them"
            " by the Open Inference Protocol"
        ) from None


def _spell(element: float, non_finite: str) -> str | None:
    if non_finite == "null":
        return None
    return "NaN" if element != element else ("Infinity" if element > 0 else "-Infinity")


def _nest(elements: list[Any], shape: Sequence[int]) -> Json:
    if not shape:
        return elements[0]  # type: ignore[no-any-return]
    if 0 in shape:
        return _empty(shape)
    for size in reversed(shape[1:]):
        elements = [elements[i : i + size] for i in range(0, len(elements), size)]
    return elements


def _empty(shape: Sequence[int]) -> Json:
    """Nested empty lists: ``[2, 0]`` is ``[[], []]``."""
    return [_empty(shape[1:]) for _ in range(shape[0])] if len(shape) > 1 else []


def _shown(element: object) -> str:
    if isinstance(element, dict):
        return "an object"
    # A platform's own parser passes on what orjson refuses: large integers, lone surrogates.
    from json import dumps

    text = dumps(element)
    return text if len(text) <= 40 else f"{text[:40]}…"
