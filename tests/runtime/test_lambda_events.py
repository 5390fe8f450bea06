"""Events with records, or that nobody waits for: SQS, Kinesis, S3, EventBridge, Step Functions.

The lookup model answers the row of an index from 0 to 2, and refuses any other when it runs.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import boto3
import onnx
import pytest
from cdk_inference.local import running
from inference_runtime.adapters import aws_clients
from inference_runtime.adapters.lambda_function import LambdaFunction
from inference_runtime.dataplane import DataPlane
from inference_runtime.errors import AwsCallFailed, ModelFailed

from tests.runtime import onnx_models as models
from tests.runtime.conftest import ReadLog
from tests.runtime.planes import serving

FIFO = "arn:aws:sqs:eu-west-1:000000000000:q.fifo"


class Runs:
    """Counts the rows of each run of a model."""

    def __init__(self, plane: DataPlane) -> None:
        self.rows: list[int] = []
        engine = plane.repository.default.ready_service()._engine
        original = engine.run

        def run(inputs: Any, *rest: Any) -> Any:
            self.rows.append(next(iter(inputs.values())).shape[0])
            return original(inputs, *rest)

        engine.run = run  # type: ignore[method-assign]


def send(plane: DataPlane, event: Any, seconds: float = 30) -> Any:
    return LambdaFunction(plane).answer(event, "request-1", time.time() + seconds)


@pytest.fixture
def plane() -> Iterator[DataPlane]:
    with serving(models.lookup()) as plane:
        yield plane


@pytest.fixture
def runs(plane: DataPlane) -> Runs:
    return Runs(plane)


def sqs(*bodies: str | dict[str, Any], groups: str = "", arn: str = FIFO) -> dict[str, Any]:
    """Messages ``m0``, ``m1``, …; of the letters in ``groups``, one each is a message's group."""
    records = []
    for index, body in enumerate(bodies):
        text = body if isinstance(body, str) else json.dumps(body)
        record = {"eventSource": "aws:sqs", "messageId": f"m{index}", "body": text}
        if groups:
            attributes = {"MessageGroupId": groups[index]}
            record |= {"eventSourceARN": arn, "attributes": attributes}
        records.append(record)
    return {"Records": records}


def kinesis(*payloads: dict[str, Any]) -> dict[str, Any]:
    def data(payload: dict[str, Any]) -> str:
        return b64encode(json.dumps(payload).encode()).decode()

    return {
        "Records": [
            {
                "eventSource": "aws:kinesis",
                "kinesis": {"sequenceNumber": f"s{index}", "data": data(payload)},
            }
            for index, payload in enumerate(payloads)
        ]
    }


def index(*values: int) -> dict[str, Any]:
    return {"features": list(values)}


def failures(answer: Any) -> list[str]:
    assert answer.keys() == {"batchItemFailures"}
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def results(log: list[dict[str, Any]]) -> dict[str, Any]:
    return {line["id"]: line["answer"] for line in log if line["message"] == "result"}


# One run for all


def test_the_records_of_a_batch_share_a_run(
    plane: DataPlane, runs: Runs, read_log: ReadLog
) -> None:
    read_log()
    assert failures(send(plane, sqs(index(0), index(1, 2), index(2)))) == []
    assert runs.rows == [4]
    answers = results(read_log())
    assert answers["m0"]["predictions"] == [[0, 1]]
    assert answers["m1"]["predictions"] == [[10, 11], [20, 21]]
    assert answers["m2"]["predictions"] == [[20, 21]]


def test_both_protocols_share_it(plane: DataPlane, runs: Runs, read_log: ReadLog) -> None:
    protocol = {"inputs": [{"name": "index", "datatype": "INT64", "shape": [1], "data": [1]}]}
    read_log()
    send(plane, sqs(index(0), {**protocol, "id": "mine"}))
    answers = results(read_log())
    assert runs.rows == [2]
    assert answers["m1"]["id"] == "mine"
    assert answers["m1"]["outputs"][0]["data"] == [10, 11]


@pytest.mark.parametrize(("limit", "expected"), [("1", [1, 1, 1, 1]), ("3", [3, 1])])
def test_a_run_has_at_most_the_rows_that_are_set(limit: str, expected: list[int]) -> None:
    with serving(models.lookup(), INFERENCE_BATCH_ROWS=limit) as plane:
        runs = Runs(plane)
        assert failures(send(plane, sqs(*[index(1)] * 4))) == []
    assert runs.rows == expected


def test_records_of_other_shapes_share_other_runs() -> None:
    def rows(count: int, width: int) -> dict[str, Any]:
        return {"features": [[1.0] * width] * count}

    with serving(models.identity("FP32", ("N", "M"))) as plane:
        runs = Runs(plane)
        assert failures(send(plane, sqs(rows(1, 2), rows(1, 3), rows(2, 2), rows(2, 3)))) == []
    assert runs.rows == [3, 3]


@pytest.mark.parametrize(
    ("model", "payload", "failed"),
    [
        (models.square(), {"features": [1, 2, 3, 4]}, []),  # other rows come out than go in
        (models.total(), {"inputs": {"x": [[1, 2]]}}, []),  # a scalar comes out
        (models.zeros(), {"features": [3]}, []),  # the rows that go in are fixed
    ],
)
def test_models_whose_rows_are_no_batch_run_alone(
    model: onnx.ModelProto, payload: dict[str, Any], failed: list[str]
) -> None:
    with serving(model) as plane:
        runs = Runs(plane)
        assert failures(send(plane, sqs(payload, payload))) == failed
    assert len(runs.rows) == 2


# The poison record


@pytest.mark.parametrize(
    "poison",
    [
        "not JSON", "", "[]", '{"features": "text"}', '{"features": [[1]]}', "\ud800", "[" * 5000,
        '{"features": [7]}',
    ],
)  # fmt: skip
def test_only_the_poison_record_is_handed_back(
    plane: DataPlane, poison: str, read_log: ReadLog
) -> None:
    read_log()
    assert failures(send(plane, sqs(index(0), poison, index(2)))) == ["m1"]
    log = read_log()
    assert results(log).keys() == {"m0", "m2"}
    (error,) = (line for line in log if "error" in line)
    assert (error["request_id"], error["fault"]) == ("m1", "client")


def test_a_shared_run_that_fails_is_repeated_one_by_one(plane: DataPlane, runs: Runs) -> None:
    assert failures(send(plane, sqs(index(0), index(7), index(2)))) == ["m1"]
    assert runs.rows == [3, 1, 1, 1]


def test_what_is_ours_is_handed_back_too() -> None:
    with serving(models.zeros()) as plane:
        too_much = {"features": [1 << 50]}
        assert failures(send(plane, sqs({"features": [2]}, too_much))) == ["m1"]


def test_records_that_the_deadline_leaves_are_handed_back() -> None:
    with serving(models.counter()) as plane:
        slow = {"features": [1 << 50]}
        begin = time.monotonic()
        assert failures(send(plane, sqs({"features": [1]}, slow, slow), seconds=0.6)) == [
            "m1",
            "m2",
        ]
        assert time.monotonic() - begin < 1.5


# Order


def test_a_message_group_ends_with_its_first_failure(plane: DataPlane, read_log: ReadLog) -> None:
    read_log()
    event = sqs(index(0), "bad", index(1), index(2), index(0), groups="abaab"[:5])
    assert failures(send(plane, event)) == ["m1", "m4"]
    assert results(read_log()).keys() == {"m0", "m2", "m3"}


def test_groups_of_a_standard_queue_have_no_order(plane: DataPlane) -> None:
    event = sqs("bad", index(1), groups="aa", arn=FIFO.removesuffix(".fifo"))
    assert failures(send(plane, event)) == ["m0"]


def test_kinesis_begins_again_at_the_first_failure(plane: DataPlane, read_log: ReadLog) -> None:
    read_log()
    assert failures(send(plane, kinesis(index(0), index(7), index(2), index(8)))) == ["s1"]
    assert results(read_log()).keys() == {"s0"}
    assert failures(send(plane, kinesis(index(0), index(1)))) == []


# Events that nobody waits for, and Step Functions


def event_bridge(detail: Any) -> dict[str, Any]:
    return {"version": "0", "id": "e", "detail-type": "Asked", "source": "me", "detail": detail}


def test_the_detail_of_an_event_is_a_request(plane: DataPlane) -> None:
    assert send(plane, event_bridge(index(1)))["predictions"] == [[10, 11]]
    assert send(plane, event_bridge(index(7)))["error"]["code"] == "INVALID_INPUT"


def test_what_is_ours_is_raised_so_that_lambda_tries_again() -> None:
    with serving(models.zeros()) as plane, pytest.raises(ModelFailed):
        send(plane, event_bridge({"features": [1 << 50]}))


def test_the_items_of_a_distributed_map_are_answered_in_their_order(
    plane: DataPlane, runs: Runs
) -> None:
    event = {"BatchInput": {"run": 1}, "Items": [index(2), {"features": "x"}, index(0)]}
    first, second, third = send(plane, event)
    assert (first["predictions"], third["predictions"]) == ([[20, 21]], [[0, 1]])
    assert second["error"]["code"] == "INVALID_INPUT"
    assert runs.rows == [2]


def test_no_items_are_no_answers(plane: DataPlane) -> None:
    assert send(plane, {"Items": []}) == []


@pytest.mark.parametrize(
    "record",
    [
        {"eventSource": "aws:dynamodb", "dynamodb": {}},
        {"eventSource": "aws:sqs", "messageId": "m"},
        {"eventSource": "aws:kinesis", "kinesis": {"data": 5}},
        {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {}},
    ],
)
def test_records_of_no_known_form_are_refused(plane: DataPlane, record: dict[str, Any]) -> None:
    error = send(plane, {"Records": [record]})["error"]
    assert error["code"] == "INVALID_INPUT"
    assert "no record of aws:sqs, aws:kinesis or aws:s3" in error["message"]


# AWS itself, emulated


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator.url


@pytest.fixture
def aws(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_clients, "_clients", {})
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(aws: None) -> Any:
    bucket = boto3.resource("s3").Bucket("requests")
    if bucket.creation_date is None:
        bucket.create(CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return bucket


def created(key: str, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    described = {"bucket": {"name": "requests"}, "object": {"key": key}}
    return {"eventSource": "aws:s3", "eventName": name, "s3": described}


def test_the_content_of_a_new_object_is_a_request(
    plane: DataPlane, runs: Runs, bucket: Any
) -> None:
    bucket.put_object(Key="a b.json", Body=json.dumps(index(1)).encode())
    zipped = gzip.compress(json.dumps(index(2)).encode())
    bucket.put_object(Key="é.json", Body=zipped, ContentEncoding="gzip")
    bucket.put_object(Key="bad", Body=b"?")
    event = {"Records": [created("a+b.json"), created("%C3%A9.json"), created("bad")]}
    answers = {result["id"]: result["answer"] for result in send(plane, event)["results"]}
    assert answers["s3://requests/a b.json"]["predictions"] == [[10, 11]]
    assert answers["s3://requests/é.json"]["predictions"] == [[20, 21]]
    assert answers["s3://requests/bad"]["error"]["code"] == "MALFORMED_BODY"
    assert runs.rows == [2]


def test_an_object_that_is_too_large_is_refused_unread(bucket: Any) -> None:
    bucket.put_object(Key="large", Body=b" " * 11)
    with serving(models.lookup(), INFERENCE_MAX_REQUEST_BYTES="10") as plane:
        (result,) = send(plane, {"Records": [created("large")]})["results"]
    assert result["answer"]["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_an_object_that_is_gone_is_tried_again(plane: DataPlane, bucket: Any) -> None:
    with pytest.raises(AwsCallFailed, match="NoSuchKey"):
        send(plane, {"Records": [created("nowhere")]})


def test_an_event_that_brings_no_object_is_refused(plane: DataPlane) -> None:
    (result,) = send(plane, {"Records": [created("k", "ObjectRemoved:Delete")]})["results"]
    assert "notify of ObjectCreated:*" in result["answer"]["error"]["message"]


def test_without_boto3_the_error_says_what_to_install(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(AwsCallFailed, match=r"install inference-runtime\[aws\]"):
        send(plane, {"Records": [created("k")]})


def test_answers_go_to_an_object_of_json_lines(bucket: Any) -> None:
    with serving(models.lookup(), INFERENCE_RESULTS="s3://requests/results/") as plane:
        assert failures(send(plane, sqs(index(0), "bad", index(1)))) == ["m1"]
    lines = bucket.Object("results/request-1.jsonl").get()["Body"].read().splitlines()
    answers = {line["id"]: line["answer"]["predictions"] for line in map(json.loads, lines)}
    assert answers == {"m0": [[0, 1]], "m2": [[10, 11]]}


def test_answers_go_to_a_queue(aws: None) -> None:
    queue = boto3.resource("sqs").create_queue(QueueName="results")
    with serving(models.lookup(), INFERENCE_RESULTS=queue.url) as plane:
        assert failures(send(plane, sqs(*[index(1)] * 12))) == []
        send(plane, event_bridge(index(2)))
    received = receive(queue)
    assert received.keys() == {*(f"m{number}" for number in range(12)), "request-1"}
    assert received["request-1"]["predictions"] == [[20, 21]]


def test_a_queue_with_an_order_gets_the_records_groups(aws: None) -> None:
    queue = boto3.resource("sqs").create_queue(
        QueueName="ordered.fifo", Attributes={"FifoQueue": "true"}
    )
    with serving(models.lookup(), INFERENCE_RESULTS=queue.url) as plane:
        send(plane, sqs(index(0), index(1), groups="ab"))
        send(plane, sqs(index(0), index(1), groups="ab"))  # handed over again: the same ids
    messages = queue.receive_messages(MaxNumberOfMessages=10, AttributeNames=["MessageGroupId"])
    assert sorted(message.attributes["MessageGroupId"] for message in messages) == ["a", "b"]


@pytest.mark.parametrize("destination", ["s3://nowhere/", "http://127.0.0.1:1/000000000000/none"])
def test_what_cannot_be_delivered_is_handed_back_or_raised(
    aws: None, destination: str, read_log: ReadLog
) -> None:
    with serving(models.lookup(), INFERENCE_RESULTS=destination) as plane:
        read_log()
        assert failures(send(plane, sqs(index(0), "bad", index(1)))) == ["m0", "m1", "m2"]
        (batch,) = (line for line in read_log() if line["message"] == "batch")
        assert batch["undelivered"].keys() == {"m0", "m2"}
        with pytest.raises(AwsCallFailed, match="results were not delivered"):
            send(plane, event_bridge(index(1)))


def receive(queue: Any) -> dict[str, Any]:
    received = {}
    while messages := queue.receive_messages(MaxNumberOfMessages=10):
        for message in messages:
            body = json.loads(message.body)
            received[body["id"]] = body["answer"]
            message.delete()
    return received
