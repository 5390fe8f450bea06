"""Records as SQS, Kinesis and S3 hand them to AWS Lambda: which each is, and the payload in it."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64

from inference_runtime import jsonio
from inference_runtime.adapters import aws_clients
from inference_runtime.content_encoding import decompress
from inference_runtime.errors import InvalidInput, MalformedBody

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from inference_runtime.jsonio import Json

SQS: Final = "aws:sqs"
KINESIS: Final = "aws:kinesis"
S3: Final = "aws:s3"


class Source:
    """What one record is.

    Attributes:
        id: the record's own.
        read: gives its payload, parsed; raises the ``InferenceError`` that it has instead.
        group: the records that share an order with it; empty where there is none.
    """

    __slots__ = ("group", "id", "read")

    def __init__(self, id: str, read: Callable[[], Json], group: str = "") -> None:
        self.id = id
        self.read = read
        self.group = group


def read_record(record: Any, max_bytes: int) -> Source:
    """Read one member of an event's ``Records``.

    Args:
        record: of the forms in https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
        max_bytes: of an S3 object that is read.

    Raises:
        InvalidInput: it is of none of these forms.
    """
    match record:  # an id that cannot be printed is no UUID and no number
        case {"eventSource": "aws:sqs", "messageId": str(id), "body": str(body)} if (
            id.isprintable()
        ):
            return Source(id, lambda: _parse(body), _message_group(record))
        case {
            "eventSource": "aws:kinesis",
            "kinesis": {"sequenceNumber": str(id), "data": str(data)},
        } if id.isprintable():
            return Source(id, lambda: _parse_base64(data), "the batch")
        case {
            "eventSource": "aws:s3",
            "eventName": str(name),
            "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
        }:
            from urllib.parse import unquote_plus

            uri = f"s3://{bucket}/{unquote_plus(key)}"
            version = record["s3"]["object"].get("versionId")
            return Source(uri, lambda: _read_object(name, uri, version, max_bytes))
    raise InvalidInput(
        f"Records holds what is no record of {SQS}, {KINESIS} or {S3}; send one request as"
        ' {"features": …} or {"inputs": …}'
    )


def _message_group(record: Any) -> str:
    """Standard queues have groups too, without an order."""
    match record:
        case {"eventSourceARN": str(arn), "attributes": {"MessageGroupId": str(group)}}:
            return group if arn.endswith(".fifo") else ""
    return ""


def _parse(body: str) -> Json:
    return jsonio.loads(body.encode(errors="surrogatepass"))


def _parse_base64(data: str) -> Json:
    try:
        return jsonio.loads(a2b_base64(data, strict_mode=True))
    except (Base64Error, ValueError) as error:
        raise MalformedBody(f"the record's data are not base64: {error}") from None


def _read_object(event_name: str, uri: str, version: object, max_bytes: int) -> Json:
    if not event_name.startswith("ObjectCreated"):
        raise InvalidInput(f"{uri}: {event_name} brings nothing to read; notify of ObjectCreated:*")
    body, encoding = aws_clients.get_object(uri, version, max_bytes)
    return jsonio.loads(decompress(body, encoding, max_bytes))
