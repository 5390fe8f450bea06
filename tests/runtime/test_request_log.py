"""The line of each request, and what of an error goes to the caller and what to the log."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from inference_runtime.dataplane import DataPlane
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.errors import InferenceError
from inference_runtime.messages import Reply, Request

from tests.runtime import onnx_models as models
from tests.runtime.conftest import ReadLog, Start

TWO_ROWS = {"inputs": {"a": [[1, 2], [3, 4]], "b": [[1, 2], [3, 4]]}}


@pytest.fixture
def plane(start: Start, read_log: ReadLog) -> DataPlane:
    plane = start(models.sum_and_product(), MODEL_NAME="sums", MODEL_VERSION="3")
    read_log()
    return plane


def post(plane: DataPlane, body: Any, request_id: str = "id-1") -> Reply:
    return plane.handle(Request("POST", "/predict", {}, json.dumps(body).encode(), request_id))


def test_a_prediction_leaves_one_line(plane: DataPlane, read_log: ReadLog) -> None:
    post(plane, TWO_ROWS)
    (line,) = read_log()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    parts = [line.pop(part) for part in ("decode_ms", "run_ms", "encode_ms")]
    assert all(0 < part < 1000 for part in parts)
    assert line == {
        "level": "INFO",
        "message": "request",
        "request_id": "id-1",
        "status": 200,
        "cold_start": True,
        "model": "sums",
        "model_version": "3",
        "batch_size": 2,
    }


def test_only_the_first_prediction_is_a_cold_start(plane: DataPlane, read_log: ReadLog) -> None:
    plane.handle(Request("GET", "/health", {}, b"", "probe"))
    for _ in range(3):
        post(plane, TWO_ROWS)
    assert [line["cold_start"] for line in read_log()] == [True, False, False]


def test_in_a_provisioned_environment_nobody_waits_for_the_start(
    start: Start, read_log: ReadLog
) -> None:
    provisioned = start(
        models.sum_and_product(), AWS_LAMBDA_INITIALIZATION_TYPE="provisioned-concurrency"
    )
    post(provisioned, TWO_ROWS)
    assert read_log()[-1]["cold_start"] is False


def test_the_callers_mistake_is_no_error_of_ours(plane: DataPlane, read_log: ReadLog) -> None:
    reply = post(plane, {"inputs": {"a": [[1, 2]]}})
    (line,) = read_log()
    assert reply.status == 400
    assert line["level"] == "INFO"
    assert (line["status"], line["error"], line["fault"]) == (400, "INVALID_INPUT", "client")
    assert line["detail"] == json.loads(reply.body)["error"]["message"]
    assert "traceback" not in line


@pytest.fixture
def broken(plane: DataPlane, monkeypatch: pytest.MonkeyPatch) -> DataPlane:
    def fail(*_arguments: object) -> None:
        raise KeyError("a secret of the code")

    monkeypatch.setattr(CapiEngine, "run", fail)
    return plane


def test_an_error_of_ours_is_told_in_full_to_the_log_alone(
    broken: DataPlane, read_log: ReadLog
) -> None:
    reply = post(broken, TWO_ROWS)
    assert reply.status == 500
    assert json.loads(reply.body) == {
        "error": {
            "code": "INTERNAL",
            "message": "an internal error; the log has it under this request id",
            "request_id": "id-1",
        }
    }
    failure, line = read_log()
    assert failure["level"] == line["level"] == "ERROR"
    assert failure["request_id"] == line["request_id"] == "id-1"
    assert "KeyError: 'a secret of the code'" in failure["traceback"]
    assert (line["status"], line["error"], line["fault"]) == (500, "INTERNAL", "server")


@pytest.mark.parametrize("engine", ["capi", "stock"])
def test_what_onnxruntime_says_of_a_failure_is_in_the_log_alone(
    engine: str, start: Start, read_log: ReadLog
) -> None:
    plane = start(models.zeros(), INFERENCE_ENGINE=engine)
    reply = post(plane, {"inputs": {"count": [1 << 45]}})
    assert json.loads(reply.body)["error"]["message"] == "the model ran out of memory"
    *_, failure, line = read_log()
    assert line["error"] == "MODEL_FAILED"
    assert "Non-zero status code returned while running ConstantOfShape" in failure["traceback"]


def test_without_http_an_error_of_ours_is_raised(broken: DataPlane, read_log: ReadLog) -> None:
    with pytest.raises(InferenceError, match="an internal error"):
        broken.invoke(TWO_ROWS, "id-2")
    assert [line["request_id"] for line in read_log()] == ["id-2", "id-2"]


def test_without_http_the_callers_mistake_is_an_answer(plane: DataPlane) -> None:
    answer = plane.invoke({"features": [1]}, "id-2")
    assert isinstance(answer, dict)
    assert answer.keys() == {"error"}


def test_text_from_outside_stays_inside_its_line(plane: DataPlane, read_log: ReadLog) -> None:
    forged = 'x"}\n{"level": "INFO"'
    post(plane, {"inputs": {forged: [1]}}, request_id=forged)
    (line,) = read_log()
    assert line["request_id"] == forged
