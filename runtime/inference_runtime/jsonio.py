"""JSON in and out, as RFC 8259 has it: no NaN literals, no comments, UTF-8 only.

orjson reads and writes it, several times as fast as the standard library. But its import takes a
third of a small model's cold start, as long as the standard library takes for some hundred
kilobytes. So the first of those are left to the C functions behind the standard library's
``json``, whose own import takes a third of orjson's. What the two would treat differently, orjson
gets in any case.
"""

from __future__ import annotations

from _json import encode_basestring, make_encoder, make_scanner
from _thread import start_new_thread

from inference_runtime.errors import MalformedBody

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any, Final, NoReturn

    Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

BYTES_BEFORE_ORJSON: Final = 256 << 10

_WHITESPACE: Final = " \t\n\r"
# Below what orjson and the interpreter allow: 1,024 and 1,000 for reading, 254 for writing.
_BRACKETS: Final = 800
_DEPTH: Final = 200
_NUMBER_BYTES: Final = 16  # of a number and its comma, about; floats may have 25
_COPIED_BYTES: Final = 8  # of a string take no longer than a byte of a number
_INFINITY: Final = float("inf")


class _Differs(ValueError):
    """orjson may treat this otherwise than the standard library."""


# The scanner's own error is in the package json; until Python 3.12 it is lost where nobody has
# imported that, and a SystemError comes instead.
_REFUSALS: Final = (ValueError, StopIteration, SystemError, RecursionError)


def loads(body: bytes | bytearray | memoryview) -> Json:
    """Parse a request body.

    Raises:
        MalformedBody: it is empty or not JSON; the message says where.
    """
    if not len(body):
        raise MalformedBody("the body is empty; send a JSON object")
    if _orjson is None and _spend(len(body)):
        try:
            parsed: Json = _parse(bytes(body))
            return parsed
        except _REFUSALS:
            pass  # orjson says what is wrong, if anything is
    orjson = _orjson or import_orjson()
    try:
        return orjson.loads(body)  # type: ignore[no-any-return]
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error}") from None


def dumps(value: object) -> bytes:
    """Serialise a reply. Not-a-number and infinities must have been replaced before."""
    if _orjson is None:
        try:
            if _spend(_size(value)):
                return "".join(_encode(value, 0)).encode()
        except ValueError:
            pass  # orjson says what is wrong
    return (_orjson or import_orjson()).dumps(value)  # type: ignore[no-any-return]


def expect(numbers: int) -> None:
    """Begin to import orjson, in a thread, if a request of so many numbers will need it."""
    if _orjson is None and numbers * _NUMBER_BYTES > BYTES_BEFORE_ORJSON:
        start_new_thread(import_orjson, ())


def import_orjson() -> ModuleType:
    """Import orjson, and leave all to it from now on: for hosts with time for it at their start."""
    global _orjson
    import orjson

    _orjson = orjson
    return orjson


_orjson: ModuleType | None = None
_left = BYTES_BEFORE_ORJSON


def _spend(size: int) -> bool:
    """Whether so many more bytes are still the standard library's; then they are spent."""
    global _left
    if size > _left:
        return False
    _left -= size
    return True


def _parse(body: bytes) -> Any:
    if b"\\u" in body or body.count(b"[") + body.count(b"{") > _BRACKETS:
        raise _Differs  # lone surrogates; the depth
    text = body.decode().strip(_WHITESPACE)
    value, end = _scan(text, 0)
    if end != len(text):
        raise _Differs
    return value


def _integer(text: str | int) -> int:
    value = int(text)
    if not -(1 << 63) <= value < 1 << 64:
        raise _Differs
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (_INFINITY, -_INFINITY):
        raise _Differs
    return value


def _refuse(_value: object) -> NoReturn:
    raise _Differs


class _Rules:
    """What the scanner asks for; ``json.JSONDecoder`` has the same attributes."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_float)
    parse_int = staticmethod(_integer)
    parse_constant = staticmethod(_refuse)  # NaN and Infinity


def _size(value: object) -> int:
    """About the bytes of ``value`` as JSON.

    Raises:
        _Differs: they are too many, or it holds what orjson may write otherwise, or refuse.
    """
    size, level, depth = 0, [value], 0
    while level:
        below: list[object] = []
        for item in level:
            size += _own_size(item)
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list | tuple):
                if _are_finite_floats(item):  # as most of an answer
                    size += len(item) * _NUMBER_BYTES
                else:
                    below.extend(item)
        depth += 1
        if size + len(below) > _left or depth > _DEPTH:
            raise _Differs
        level = below
    return size


def _are_finite_floats(items: Sequence[Any]) -> bool:
    """Whether there is nothing else in it; of floats with too large a sum it does not say so."""
    if {*map(type, items)} != {float}:
        return False
    total = sum(items)
    return bool(total - total == 0)  # not so for infinities


def _own_size(item: Any) -> int:
    """Of a container, without its elements."""
    kind = type(item)
    if kind is float and item - item == 0:  # not so for infinities
        return _NUMBER_BYTES
    if kind is int:
        _integer(item)
        return _NUMBER_BYTES
    if kind is str:
        return len(item) // _COPIED_BYTES + 3
    if kind is dict and all(type(key) is str for key in item):
        return sum(len(key) + 4 for key in item)
    if kind in (list, tuple, bool, type(None)):
        return 5
    raise _Differs


_scan: Final[Callable[[str, int], tuple[Any, int]]] = make_scanner(_Rules)  # type: ignore[arg-type]
# As json.JSONEncoder calls it.
_encode: Final[Callable[[object, int], tuple[str, ...]]] = make_encoder(
    None, _refuse, encode_basestring, None, ":", ",", False, False, False
)
