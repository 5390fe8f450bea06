"""Where the answers to records go that nobody waits for: ``INFERENCE_RESULTS``.

Each is ``{"id": …, "answer": …}``, with the record's own id: a record that Lambda hands over again
is answered again, under the same id.
"""

from __future__ import annotations

from inference_runtime import jsonio
from inference_runtime.adapters import aws_clients
from inference_runtime.errors import AwsCallFailed
from inference_runtime.telemetry import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Protocol

    from inference_runtime.adapters.lambda_events import LambdaRecord

    class Results(Protocol):
        """A place for answers."""

        def send(self, records: Sequence[LambdaRecord], request_id: str, /) -> dict[str, str]:
            """Send the answers of records that have one.

            Returns:
                Why, for each record whose answer did not arrive, by its id.
            """


# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
_SQS_BATCH = 10


def create(destination: str) -> Results:
    """The place that ``INFERENCE_RESULTS`` names."""
    if not destination:
        return LogResults()
    if destination.startswith("s3://"):
        return S3Results(destination)
    return SqsResults(destination)


class LogResults:
    """One line of the log for each answer."""

    def send(self, records: Sequence[LambdaRecord], request_id: str) -> dict[str, str]:
        """Write the lines."""
        for record in records:
            log("INFO", "result", request_id=request_id, id=record.id, answer=record.answer)
        return {}


class S3Results:
    """One object of JSON lines for each invocation, ``<prefix><request id>.jsonl``.

    Args:
        uri: ``s3://bucket/prefix``.
    """

    def __init__(self, uri: str) -> None:
        self._bucket, _, self._prefix = uri.removeprefix("s3://").partition("/")

    def send(self, records: Sequence[LambdaRecord], request_id: str) -> dict[str, str]:
        """Put the object."""
        try:
            aws_clients.call(
                "s3", "put_object",
                Bucket=self._bucket,
                Key=f"{self._prefix}{request_id}.jsonl",
                Body=b"".join(_line(record) + b"\n" for record in records),
                ContentType="application/jsonl",
            )  # fmt: skip
        except AwsCallFailed as error:
            return {record.id: str(error) for record in records}
        return {}


class SqsResults:
    """One message for each answer.

    Args:
        url: the queue's. Of a FIFO queue, messages keep the message group of their record.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._fifo = url.endswith(".fifo")

    def send(self, records: Sequence[LambdaRecord], _request_id: str) -> dict[str, str]:
        """Send the messages, ten at a time."""
        undelivered: dict[str, str] = {}
        for start in range(0, len(records), _SQS_BATCH):
            undelivered |= self._send_batch(records[start : start + _SQS_BATCH])
        return undelivered

    def _send_batch(self, records: Sequence[LambdaRecord]) -> dict[str, str]:
        entries = [self._entry(index, record) for index, record in enumerate(records)]
        try:
            answer = aws_clients.call(
                "sqs", "send_message_batch", QueueUrl=self._url, Entries=entries
            )
        except AwsCallFailed as error:
            return {record.id: str(error) for record in records}
        failed: Iterable[Any] = answer.get("Failed", ())
        return {records[int(one["Id"])].id: f"{one['Code']}" for one in failed}

    def _entry(self, index: int, record: LambdaRecord) -> dict[str, str]:
        entry = {"Id": str(index), "MessageBody": _line(record).decode()}
        if self._fifo:
            from hashlib import sha256

            entry["MessageGroupId"] = record.group or record.id
            entry["MessageDeduplicationId"] = sha256(record.id.encode()).hexdigest()
        return entry


def _line(record: LambdaRecord) -> bytes:
    return jsonio.dumps({"id": record.id, "answer": record.answer})
