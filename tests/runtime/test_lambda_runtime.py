"""The Runtime API loop, in a process of its own; the contract corpus holds what it answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import inference_runtime
import onnx
import pytest
from inference_runtime.adapters.lambda_host import Worker
from inference_runtime.adapters.lambda_runtime_api import Invocation
from inference_runtime.adapters.watchdog import Watchdog
from inference_runtime.settings import TRACE_ID

from tests.contract.runtime_api import LOOP, RuntimeApi, lambda_client, lambda_process
from tests.runtime import onnx_models as models
from tests.runtime.documentation import PAGE

NEXT = "GET /2018-06-01/runtime/invocation/next"
MEGABYTE = 1 << 20
ENDLESS = 1 << 50  # for models.counter()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"MODEL_URI": models.save(models.zeros(), tmp_path / "model.onnx")}


@contextmanager
def looping(
    environ: dict[str, str], model: onnx.ModelProto | None = None
) -> Iterator[tuple[RuntimeApi, subprocess.Popen[bytes]]]:
    if model is not None:
        models.save(model, Path(environ["MODEL_URI"]))
    api = RuntimeApi()
    with lambda_process(api, environ, LOOP) as process:
        yield api, process


def http_event(count: int) -> dict[str, Any]:
    body = json.dumps({"features": [count]})
    return {"requestContext": {"http": {"method": "POST"}}, "rawPath": "/predict", "body": body}


def wait_until(api: RuntimeApi, request: str, times: int = 1) -> None:
    end = time.monotonic() + 10
    while api.requests.count(request) < times:
        assert time.monotonic() < end, api.requests
        time.sleep(0.01)


# The start


@pytest.mark.parametrize(
    ("changed", "error_type"),
    [
        ({"MODEL_URI": "/nowhere.onnx"}, "ModelNotLoaded"),
        ({"INFERENCE_THREADS": "many"}, "InvalidSettings"),
    ],
)
def test_an_error_of_the_start_is_reported_and_ends_the_process(
    environ: dict[str, str], changed: dict[str, str], error_type: str
) -> None:
    with looping({**environ, **changed}) as (api, process):
        outcome = api.outcome()
        assert process.wait(10) == 1
    assert outcome.kind == "init error"
    assert outcome.payload["errorType"] == error_type
    assert outcome.payload["stackTrace"][0].startswith("Traceback")
    assert outcome.headers["lambda-runtime-function-error-type"] == f"Runtime.{error_type}"


def test_it_is_an_extension_before_it_asks_for_events(environ: dict[str, str]) -> None:
    with lambda_client(environ, LOOP) as api:
        wait_until(api, NEXT)
        wait_until(api, "GET /2020-01-01/extension/event/next")
    assert api.requests.index("POST /2020-01-01/extension/register") < api.requests.index(NEXT)


def test_it_is_snapshotted_before_it_asks_for_events(environ: dict[str, str]) -> None:
    with lambda_client({**environ, "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}, LOOP) as api:
        assert api.invoke({"warmup": True}, "id-1").payload == {"warmup": True}
    assert api.requests[0] == "GET /2018-06-01/runtime/restore/next"


def test_the_wrapper_of_the_documentation_starts_it(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (script,) = re.findall(r"^```sh wrapper\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    wrapper = tmp_path / "inference"
    wrapper.write_text(script)
    api = RuntimeApi()
    client = (str(wrapper), sys.executable, "/var/runtime/bootstrap.py")
    task = {**environ, "LAMBDA_TASK_ROOT": str(Path(inference_runtime.__path__[0]).parent)}
    with lambda_process(api, task, client, interpreter="/bin/sh"):
        assert api.invoke({"warmup": True}, "id-1").payload == {"warmup": True}


# Events


def test_the_callers_mistakes_are_answers_and_ours_are_errors(environ: dict[str, str]) -> None:
    with lambda_client(environ, LOOP) as api:
        good = api.invoke({"features": [2]}, "id-1")
        bad = api.invoke({"features": ["2"]}, "id-2")
        ours = api.invoke({"features": [1 << 50]}, "id-3")
        depth = api.invoke(b"[" * 5000 + b"]" * 5000, "id-4")
    assert (good.kind, good.payload["predictions"]) == ("response", [0.0, 0.0])
    assert (bad.kind, bad.payload["error"]["code"]) == ("response", "INVALID_INPUT")
    assert (depth.kind, depth.payload["error"]["code"]) == ("response", "MALFORMED_BODY")
    assert ours.kind == "error"
    assert ours.headers["lambda-runtime-function-error-type"] == "ModelFailed"
    assert ours.payload["errorType"] == "ModelFailed"
    assert ours.payload["errorMessage"] == "the model ran out of memory"
    assert ours.payload["requestId"] == "id-3"
    assert ours.payload["stackTrace"]


def test_one_connection_carries_every_event_and_its_answer(environ: dict[str, str]) -> None:
    with lambda_client(environ, LOOP) as api:
        for _ in range(5):
            api.invoke({"warmup": True}, "id")
    # The worker's and the extension's.
    assert api.connections == 2


def test_an_invocation_id_goes_back_with_the_answer(environ: dict[str, str]) -> None:
    with lambda_client(environ, LOOP) as api:
        api.extra = {"Lambda-Runtime-Invocation-Id": "attempt-7"}
        answers = [api.invoke({"warmup": True}, "id"), api.invoke({"features": [1 << 50]}, "id")]
    assert [a.headers["lambda-runtime-invocation-id"] for a in answers] == ["attempt-7"] * 2


@pytest.mark.parametrize("status", [400, 403, 410, 413])
def test_an_answer_that_lambda_does_not_take_is_logged_and_the_next_event_answered(
    environ: dict[str, str], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with lambda_client(environ, LOOP) as api:
        api.status = status
        api.invoke({"warmup": True}, "id-1")
        api.status = 202
        assert api.invoke({"warmup": True}, "id-2").kind == "response"
    logged = capfd.readouterr().out
    assert "Lambda did not take the response" in logged
    assert f'"detail":"{status} ' in logged


def test_a_runtime_api_in_no_state_to_recover_ends_the_process(environ: dict[str, str]) -> None:
    with looping(environ) as (api, process):
        api.status = 500
        api.invoke({"warmup": True}, "id-1")
        assert process.wait(10) == 1


def test_a_run_past_the_deadline_is_ended_and_answered_in_time(environ: dict[str, str]) -> None:
    with looping(environ, models.counter()) as (api, process):
        api.seconds_left = 1.0
        begin = time.monotonic()
        outcome = api.invoke(http_event(ENDLESS), "id-1")
        assert outcome.payload["statusCode"] == 504
        assert 0.5 < time.monotonic() - begin < 2.0
        used = cpu_seconds(process)
        time.sleep(0.3)
        assert cpu_seconds(process) - used < 0.1


# Large answers


def test_an_answer_over_6_mb_is_refused_in_the_form_of_its_event(environ: dict[str, str]) -> None:
    with lambda_client(environ, LOOP) as api:
        direct = api.invoke({"features": [2 * MEGABYTE]}, "id-1").payload
        http = api.invoke(http_event(2 * MEGABYTE), "id-2").payload
        inputs = [{"name": "count", "datatype": "INT64", "shape": [1], "data": [2 * MEGABYTE]}]
        protocol = api.invoke({"inputs": inputs}, "id-3").payload
    assert direct["error"]["code"] == "ANSWER_TOO_LARGE"
    assert http["statusCode"] == 413
    assert json.loads(http["body"])["error"]["code"] == "ANSWER_TOO_LARGE"
    assert "send smaller batches" in protocol["error"]


def test_an_answer_over_6_mb_is_streamed_where_that_is_set(environ: dict[str, str]) -> None:
    with lambda_client({**environ, "INFERENCE_INVOKE_MODE": "RESPONSE_STREAM"}, LOOP) as api:
        http = api.invoke(http_event(2 * MEGABYTE), "id-1")
        direct = api.invoke({"features": [2 * MEGABYTE]}, "id-2")
        small = api.invoke({"features": [2]}, "id-3")
    assert http.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert http.headers["transfer-encoding"] == "chunked"
    prelude, _, body = http.body.partition(bytes(8))
    assert json.loads(prelude)["statusCode"] == 200
    assert len(json.loads(body)["predictions"]) == 2 * MEGABYTE
    assert direct.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert len(direct.payload["predictions"]) == 2 * MEGABYTE
    assert "lambda-runtime-function-response-mode" not in small.headers


# Concurrency and the end


def test_invocations_run_at_the_same_time_in_one_process(environ: dict[str, str]) -> None:
    with looping({**environ, "AWS_LAMBDA_MAX_CONCURRENCY": "4"}, models.counter()) as (
        api,
        process,
    ):
        wait_until(api, NEXT, times=4)
        api.seconds_left = 1.0
        begin = time.monotonic()
        for index in range(4):
            api.put(http_event(ENDLESS), f"id-{index}")
        statuses = {api.outcome().payload["statusCode"] for _ in range(4)}
        assert time.monotonic() - begin < 2.0
        assert statuses == {504}
        assert len(children(process)) == 0


@pytest.mark.parametrize("concurrency", ["1", "3"])
def test_sigterm_ends_an_idle_process_at_once(environ: dict[str, str], concurrency: str) -> None:
    with looping({**environ, "AWS_LAMBDA_MAX_CONCURRENCY": concurrency}) as (api, process):
        wait_until(api, NEXT, times=int(concurrency))
        process.send_signal(signal.SIGTERM)
        assert process.wait(0.5) == 0


def test_sigterm_lets_a_run_end_and_its_answer_out(environ: dict[str, str]) -> None:
    with looping({**environ, "AWS_LAMBDA_MAX_CONCURRENCY": "2"}, models.counter()) as (
        api,
        process,
    ):
        wait_until(api, NEXT, times=2)
        api.seconds_left = 0.5
        api.put(http_event(ENDLESS), "id-1")
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert api.outcome().payload["statusCode"] == 504
        assert process.wait(0.5) == 0


@pytest.mark.parametrize(("alone", "expected"), [(True, "Root=1-5"), (False, None)])
def test_the_trace_id_is_in_the_environment_of_a_lone_worker(
    alone: bool, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRACE_ID, raising=False)
    headers = {
        "lambda-runtime-aws-request-id": "id-1",
        "lambda-runtime-deadline-ms": "1",
        "lambda-runtime-trace-id": "Root=1-5",
    }
    seen = []
    api, function = Mock(), Mock()
    api.next.side_effect = [Invocation(b"{}", headers), None]
    function.answer.side_effect = lambda *_: seen.append(os.environ.get(TRACE_ID))
    Worker(api, function, streaming=False, alone=alone).work()
    assert seen == [expected]


def test_an_invocation_may_have_no_deadline() -> None:
    invocation = Invocation(b"{}", {"lambda-runtime-aws-request-id": "id-1"})
    with Watchdog().limit(invocation.deadline) as cancellation:
        time.sleep(0.05)
        assert cancellation.reason is None


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def children(process: subprocess.Popen[bytes]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
