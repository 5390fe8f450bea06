"""What is Lambda's own in the adapter; the contract corpus holds the rest."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runtime import onnx_models as models

Handler = Callable[[Any], Any]
BODY = '{"features": [["a", "b"]]}'


@pytest.fixture
def handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handler:
    path = models.save(models.shout(), tmp_path / "model.onnx")
    monkeypatch.setenv("MODEL_URI", path)
    monkeypatch.setenv("MODEL_VERSION", "3")
    monkeypatch.delitem(sys.modules, "inference_runtime.adapters.aws_lambda", raising=False)
    adapter = importlib.import_module("inference_runtime.adapters.aws_lambda")
    context = SimpleNamespace(aws_request_id="id-1", get_remaining_time_in_millis=lambda: 30_000)
    return lambda event: adapter.handler(event, context)


def http_api(**changed: Any) -> dict[str, Any]:
    context = {"http": {"method": "POST"}, "stage": "$default"}
    return {"requestContext": context, "rawPath": "/predict", "body": BODY, **changed}


def test_a_warm_up_event_is_answered_without_a_run(
    handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert handler({"warmup": True}) == {"warmup": True}
    assert capsys.readouterr().out == ""


def test_a_warm_up_event_keeps_its_environment_busy(handler: Handler) -> None:
    started = time.monotonic()
    assert handler({"warmup": True, "hold_ms": 80}) == {"warmup": True}
    assert 0.08 <= time.monotonic() - started < 5


def test_a_warm_up_event_ends_before_the_functions_time_is_over(handler: Handler) -> None:
    started = time.monotonic()
    adapter = sys.modules["inference_runtime.adapters.aws_lambda"]
    event = {"warmup": True, "hold_ms": 10_000}
    assert adapter.FUNCTION.answer(event, "id-1", time.time() + 0.2) == {"warmup": True}
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("hold_ms", [-1, 10_001, 1.5, "80", None, True])
def test_a_time_that_no_warm_up_takes_is_refused(handler: Handler, hold_ms: object) -> None:
    answer = handler({"warmup": True, "hold_ms": hold_ms})
    assert answer["error"]["code"] == "INVALID_INPUT"
    assert f"hold_ms is {hold_ms!r}; it takes" in answer["error"]["message"]


def test_after_a_warm_up_nobody_waits_for_the_start(
    handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    handler({"warmup": True})
    handler({"features": [["a", "b"]]})
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["cold_start"] is False


@pytest.mark.parametrize("payload", [[1, 2], None, "text", 5, {"warmup": 1}])
def test_any_other_payload_is_answered(handler: Handler, payload: Any) -> None:
    assert handler(payload)["error"]["code"] == "MALFORMED_BODY"


@pytest.mark.parametrize(
    "event",
    [
        http_api(routeKey="POST /predict", rawPath="/prod/predict"),
        http_api(
            routeKey="ANY /{proxy+}", pathParameters={"proxy": "predict"}, rawPath="/v1/predict"
        ),
        http_api(
            requestContext={"http": {"method": "POST"}, "stage": "prod"}, rawPath="/prod/predict"
        ),
        {
            "requestContext": {"stage": "prod"}, "httpMethod": "post", "path": "/base/predict",
            "resource": "/predict", "body": BODY,
        },
        {
            "requestContext": {"stage": "prod"}, "httpMethod": "POST", "path": "/base/predict",
            "resource": "/{proxy+}", "pathParameters": {"proxy": "predict"}, "body": BODY,
        },
        {"requestContext": {"elb": {}}, "httpMethod": "POST", "path": "/predict", "body": BODY},
    ],
)  # fmt: skip
def test_stages_and_base_paths_are_no_part_of_the_path(handler: Handler, event: Any) -> None:
    assert handler(event)["statusCode"] == 200


def test_a_stage_is_cut_off_whole_segments_only(handler: Handler) -> None:
    context = {"http": {"method": "POST"}, "stage": "pre"}
    assert handler(http_api(requestContext=context, rawPath="/predict"))["statusCode"] == 200


@pytest.mark.parametrize("body", ["not base64!", "YQ", "é"])
def test_a_body_that_is_not_base64_is_refused(handler: Handler, body: str) -> None:
    answer = handler(http_api(body=body, isBase64Encoded=True))
    assert answer["statusCode"] == 400
    assert "the event says isBase64Encoded, but its body is not" in answer["body"]


def test_a_body_that_is_no_unicode_is_refused(handler: Handler) -> None:
    answer = handler(http_api(body='{"features": [["\ud800", "b"]]}'))
    assert answer["statusCode"] == 400
    assert "the body is not JSON" in answer["body"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("\ud800", "/predict", 405), ("GET", "/models/\ud800/predict", 405), ("GET", "/\ud800", 404)],
)
def test_an_event_that_is_no_unicode_is_refused(
    handler: Handler, method: str, path: str, status: int
) -> None:
    event = http_api(requestContext={"http": {"method": method}}, rawPath=path)
    assert handler(event)["statusCode"] == status


def test_head_is_get_without_a_body(handler: Handler) -> None:
    event = http_api(requestContext={"http": {"method": "HEAD"}}, rawPath="/health", body=None)
    answer = handler(event)
    assert (answer["statusCode"], answer["body"]) == (200, "")
    assert handler({**event, "rawPath": "/nowhere"})["statusCode"] == 404


@pytest.mark.parametrize("changed", [{"body": None}, {"body": ""}])
def test_an_event_without_a_body_is_refused(handler: Handler, changed: dict[str, Any]) -> None:
    assert "the body is empty" in handler(http_api(**changed))["body"]


def test_a_load_balancer_gets_its_status_line_and_its_kind_of_headers(handler: Handler) -> None:
    event = {"requestContext": {"elb": {}}, "httpMethod": "GET", "path": "/nowhere", "body": ""}
    answer = handler(event)
    assert answer["statusDescription"] == "404 Not Found"
    assert answer["headers"] == {"content-type": "application/json"}
    answer = handler({**event, "multiValueHeaders": {"Accept": ["*/*"]}})
    assert answer["multiValueHeaders"] == {"content-type": ["application/json"]}
    assert "headers" not in answer
