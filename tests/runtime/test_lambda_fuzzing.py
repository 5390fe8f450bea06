"""Whatever event a caller makes up: never an exception, never a 5xx, always JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from inference_runtime import jsonio
from inference_runtime.adapters.lambda_function import LambdaFunction

from tests.runtime import onnx_models as models
from tests.runtime.planes import serving

text = st.text(st.characters(), max_size=12)  # lone surrogates too, which a platform's parser makes
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=10,
)

features = st.fixed_dictionaries({"features": st.lists(anything, max_size=3) | anything})
tensors = st.fixed_dictionaries(
    {
        "name": st.just("index") | anything,
        "datatype": st.sampled_from(["INT64", "FP32", "BYTES"]) | anything,
        "shape": st.lists(st.integers(-1, 3), max_size=2) | anything,
        "data": st.lists(st.integers(-1, 3), max_size=3) | anything,
    }
)
inferences = st.fixed_dictionaries({"inputs": st.lists(tensors, max_size=2) | anything})
payloads = features | inferences | anything


def members(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these members, each of its form or of none."""
    return st.fixed_dictionaries({}, optional={name: s | anything for name, s in known.items()})


bodies = payloads.map(lambda value: _dumped(value)) | text
headers = st.dictionaries(
    st.sampled_from(
        ["content-encoding", "Content-Type", "Inference-Header-Content-Length", "origin"]
    ),
    st.sampled_from(["gzip", "deflate", "0", "7", "x"]) | anything,
)
paths = st.sampled_from(["/predict", "/v2/models/m/infer", "/v2", "/health"]) | text
http_events = members(
    requestContext=members(
        http=members(method=st.sampled_from(["POST", "GET"])), stage=text, elb=st.just({})
    ),
    httpMethod=st.sampled_from(["POST", "GET"]),
    rawPath=paths,
    path=paths,
    routeKey=st.sampled_from(["$default", "POST /predict", "ANY /{proxy+}"]),
    resource=st.sampled_from(["/{proxy+}", "/predict"]),
    pathParameters=members(proxy=st.just("predict")),
    headers=headers,
    multiValueHeaders=st.dictionaries(text, st.lists(text, max_size=2) | anything, max_size=2),
    body=bodies,
    isBase64Encoded=st.booleans(),
)
records = members(
    eventSource=st.sampled_from(["aws:sqs", "aws:kinesis", "aws:dynamodb"]),
    eventSourceARN=st.just("arn:aws:sqs:eu-west-1:0:q.fifo"),
    messageId=text,
    attributes=members(MessageGroupId=st.sampled_from("ab")),
    body=bodies,
    kinesis=members(sequenceNumber=text, data=st.just("e30=") | text),
)
sources = (
    st.fixed_dictionaries({"Records": st.lists(records, max_size=4) | anything})
    | st.fixed_dictionaries({"Items": st.lists(payloads, max_size=4) | anything})
    | st.fixed_dictionaries({"detail-type": text, "detail": payloads})
    | members(warmup=st.just(True), hold_ms=st.integers(-1, 1))
)


SQS = {"eventSource": "aws:sqs", "messageId": "m", "body": '{"features": [1]}'}


@pytest.fixture(scope="module")
def function() -> Iterator[LambdaFunction]:
    with serving(
        models.lookup(), INFERENCE_CORS_ORIGINS="*", INFERENCE_REQUEST_LOG="errors"
    ) as plane:
        yield LambdaFunction(plane)


def _dumped(value: Any) -> str:
    try:
        return jsonio.dumps(value).decode()
    except TypeError:  # what is no JSON: lone surrogates, large integers
        return str(value)


@given(event=payloads | http_events | sources)
@example(event={"requestContext": {"http": {"method": "POST"}}, "rawPath": "/predict", "body": 5})
@example(event={"requestContext": {}, "httpMethod": "\ud800", "path": "\ud800"})
@example(event={"Records": [SQS | {"messageId": "\ud800"}]})
@example(event={"Records": [SQS | {"messageId": ["m"]}, SQS]})
@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_event_is_answered(function: LambdaFunction, event: Any) -> None:
    answer = function.answer(event, "id", time.time() + 10)
    jsonio.dumps(answer)
    if isinstance(answer, dict) and "statusCode" in answer:
        assert answer["statusCode"] < 500
        assert isinstance(answer["body"], str)


@given(event=sources)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_only_what_was_sent_is_handed_back(function: LambdaFunction, event: Any) -> None:
    answer = function.answer(event, "id", time.time() + 10)
    if isinstance(answer, dict) and "batchItemFailures" in answer:
        sent = [one for record in event["Records"] for one in identifiers(record)]
        assert all(failure["itemIdentifier"] in sent for failure in answer["batchItemFailures"])


def identifiers(record: dict[str, Any]) -> Iterator[Any]:
    """What a record could be known by, whatever it says of its source."""
    yield record.get("messageId")
    kinesis = record.get("kinesis")
    if isinstance(kinesis, dict):
        yield kinesis.get("sequenceNumber")
