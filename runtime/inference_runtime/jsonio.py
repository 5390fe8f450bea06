"""JSON in and out, as RFC 8259 has it: no NaN literals, no comments, UTF-8 only."""

from __future__ import annotations

import orjson

from inference_runtime.errors import MalformedBody

TYPE_CHECKING = False
if TYPE_CHECKING:
    Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def loads(body: bytes | bytearray | memoryview) -> Json:
    """Parse a request body.

    Raises:
        MalformedBody: it is empty or not JSON; the message says where.
    """
    if not len(body):
        raise MalformedBody("the body is empty; send a JSON object")
    try:
        return orjson.loads(body)  # type: ignore[no-any-return]
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error}") from None


def dumps(value: object) -> bytes:
    """Serialise a reply. Not-a-number and infinities must have been replaced before."""
    return orjson.dumps(value)
