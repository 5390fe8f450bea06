"""Events of AWS Lambda that carry records, or come when nobody waits for the answer.

SQS and Kinesis: each record's body is a request. What fails is handed back as ``batchItemFailures``
(https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html), which the event
source mapping reads only with ``ReportBatchItemFailures``; without it, failed records are lost.
Order is kept: after the first failure of a FIFO message group, or of a Kinesis batch, all later
ones of it are failures too. Answers go to ``INFERENCE_RESULTS``.

S3 and EventBridge: each new object's content, or the event's ``detail``, is a request. Answers are
the function's own answer, so that Lambda's destinations have them, and go to ``INFERENCE_RESULTS``
where that is set. The caller's mistakes are answers; what is ours is raised, so Lambda tries again.

Step Functions: the ``Items`` of a distributed map's batch are requests, and the answer is a list.
Any other payload of theirs is a direct invocation.
"""

from __future__ import annotations

from inference_runtime.adapters import lambda_results
from inference_runtime.adapters.lambda_sources import KINESIS, S3, Source, read_record
from inference_runtime.errors import AwsCallFailed, InvalidInput
from inference_runtime.records import Record, answer_records
from inference_runtime.telemetry import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from inference_runtime.dataplane import DataPlane
    from inference_runtime.engine import Cancellation
    from inference_runtime.jsonio import Json


class LambdaRecord(Record):
    """A record of an event.

    Attributes:
        group: the records that share an order with it; empty where there is none.
    """

    def __init__(self, plane: DataPlane, source: Source, cancellation: Cancellation) -> None:
        super().__init__(plane, source.id, source.read, cancellation)
        self.group = source.group


class EventSources:
    """Answers the events of this module with one data plane.

    Args:
        plane: with the model loaded.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._has_destination = bool(plane.settings.results)
        self._results = lambda_results.create(plane.settings.results)

    def answer(self, event: Any, request_id: str, cancellation: Cancellation) -> Json:
        """Answer an event with ``Records``, ``Items``, or ``detail``.

        Raises:
            InferenceError: what is ours, of events other than SQS's and Kinesis'.
        """
        match event:
            case {"Items": items}:
                return self._answer_items(items, request_id, cancellation)
            case {"detail": detail}:
                (answer,) = self._answer_unwaited(
                    self._records([Source(request_id, lambda: detail)], cancellation), request_id
                )
                return answer
        return self._answer_records(event, request_id, cancellation)

    def _answer_items(self, items: list[Json], request_id: str, cancellation: Cancellation) -> Json:
        def source(index: int, item: Json) -> Source:
            return Source(f"{request_id}/{index}", lambda: item)

        sources = [source(index, item) for index, item in enumerate(items)]
        return self._answer_all(self._records(sources, cancellation))

    def _answer_records(self, event: Any, request_id: str, cancellation: Cancellation) -> Json:
        max_bytes = self._plane.settings.max_request_bytes
        try:
            sources = [read_record(record, max_bytes) for record in event["Records"]]
        except InvalidInput as error:
            return self._plane.refuse_payload(event, error, request_id)
        records = self._records(sources, cancellation)
        kind = event["Records"][0]["eventSource"]
        if kind == S3:
            answers = self._answer_unwaited(records, request_id)
            ids = [record.id for record in records]
            return {"results": [{"id": i, "answer": a} for i, a in zip(ids, answers, strict=True)]}
        failures = self._answer_returning(records, request_id)
        if kind == KINESIS:
            failures = failures[:1]  # Lambda begins again there, with all that follow
        return {"batchItemFailures": [{"itemIdentifier": record.id} for record in failures]}

    def _answer_returning(self, records: list[LambdaRecord], request_id: str) -> list[LambdaRecord]:
        """Answer records; those that are to be handed back."""
        self._run(records)
        failures = _with_their_followers(records)
        answered = [record for record in records if record not in failures]
        undelivered = self._results.send(answered, request_id)
        for record in answered:
            if record.id in undelivered:
                record.error = AwsCallFailed(undelivered[record.id])
        failures = _with_their_followers(records)
        log(
            "INFO", "batch", request_id=request_id, records=len(records), failures=len(failures),
            undelivered=undelivered,
        )  # fmt: skip
        return failures

    def _answer_unwaited(self, records: list[LambdaRecord], request_id: str) -> list[Json]:
        """Answer records whose sender does not wait, and send the answers where they shall go."""
        answers = self._answer_all(records)
        if self._has_destination:
            answered = [record for record in records if record.error is None]
            undelivered = self._results.send(answered, request_id)
            if undelivered:
                raise AwsCallFailed(f"results were not delivered: {undelivered}")
        return answers

    def _answer_all(self, records: list[LambdaRecord]) -> list[Json]:
        """Answer records; the answer, or the caller's mistake, of each."""
        self._run(records)
        for record in records:
            if record.error is not None and record.error.fault == "server":
                raise record.error
        return [record.shown for record in records]

    def _records(self, sources: Sequence[Source], cancellation: Cancellation) -> list[LambdaRecord]:
        return [LambdaRecord(self._plane, source, cancellation) for source in sources]

    def _run(self, records: Sequence[LambdaRecord]) -> None:
        answer_records(records, self._plane.settings.batch_rows)


def _with_their_followers(records: Sequence[LambdaRecord]) -> list[LambdaRecord]:
    """The records that failed, and those that must not overtake them."""
    broken: set[str] = set()
    failures = []
    for record in records:
        if record.error is not None or record.group in broken:
            failures.append(record)
            broken.update({record.group} - {""})
    return failures
