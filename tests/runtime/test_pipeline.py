from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inference_runtime.errors import InvalidSettings

from tests.runtime import onnx_models
from tests.runtime.planes import DIGITS, answer, send, serving, unloaded

SAMPLES = json.loads((DIGITS.parent / "samples.json").read_text())
MODULE = """
import numpy
from inference_runtime.errors import InvalidInput


class Good:
    def preprocess(self, request):
        if "rows" not in request:
            raise InvalidInput("send 'rows'")
        return {"x": numpy.array(request["rows"], numpy.float32) + 1}

    def postprocess(self, outputs):
        return {"total": float(outputs["y"].sum())}


class WrongType(Good):
    def preprocess(self, request):
        return {"x": numpy.zeros((1, 3))}


class WrongShape(Good):
    def preprocess(self, request):
        return {"x": numpy.zeros((1, 4), numpy.float32)}


class WrongName(Good):
    def preprocess(self, request):
        return {"z": numpy.zeros((1, 3), numpy.float32)}


class Raises(Good):
    def preprocess(self, request):
        raise ValueError("secret")


class RaisesAfter(Good):
    def postprocess(self, outputs):
        return outputs["nothing"]


class NoJson(Good):
    def postprocess(self, outputs):
        return object()


class GivesList(Good):
    def preprocess(self, request):
        return {"x": request["rows"]}


class GivesArray(Good):
    def preprocess(self, request):
        return numpy.array(request["rows"], numpy.float32)


class Incomplete:
    def preprocess(self, request):
        return {}


class NeedsArguments(Good):
    def __init__(self, argument):
        pass
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "users_code.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("users_code", None)


def predict(name: str, body: Any) -> Any:
    pipeline = f"users_code:{name}"
    with serving(onnx_models.identity("FP32"), INFERENCE_PIPELINE=pipeline) as plane:
        return send(plane, "POST", "/predict", body)


def test_requests_and_answers_are_the_pipelines_own() -> None:
    reply = predict("Good", {"rows": [[1, 2, 3]]})
    assert answer(reply) == {"predictions": {"total": 9.0}, "model_version": "1"}


def test_a_pipeline_may_blame_the_caller() -> None:
    reply = predict("Good", {})
    assert reply.status == 400
    assert answer(reply)["error"] == {"code": "INVALID_INPUT", "message": "send 'rows'"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("WrongType", "gave 'x' as float64[1, 3]; the model takes FP32[N, 3]"),
        ("WrongShape", "does not fit: input 'x' takes FP32[N, 3], got shape [1, 4]"),
        ("WrongName", "gave 'z' as float32[1, 3]; the model takes no such input"),
        ("GivesList", "gave 'x' as a list; the model takes FP32[N, 3]"),
        ("GivesArray", "gave a ndarray, and no dict of arrays by input's name"),
        ("Raises", "preprocess failed: ValueError"),
        ("RaisesAfter", "postprocess failed: KeyError"),
        ("NoJson", "postprocess failed: TypeError"),
    ],
)
def test_its_own_failures_are_told_apart_from_ours(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = predict(name, {"rows": [[1, 2, 3]]})
    assert reply.status == 500
    told = answer(reply)["error"]
    assert told["code"] == "PIPELINE_FAILED"
    assert message in told["message"]
    assert "secret" not in told["message"]
    log = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (failed,) = [line for line in log if line["message"] == "request failed"]
    assert "Traceback" in failed["traceback"]


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("nowhere:Pipeline", "No module named 'nowhere'"),
        ("users_code:Missing", "no attribute 'Missing'"),
        ("users_code:NeedsArguments", "missing 1 required positional argument"),
        ("users_code:Incomplete", "has no postprocess"),
    ],
)
def test_a_pipeline_that_cannot_serve_is_refused_at_start(reference: str, reason: str) -> None:
    with pytest.raises(InvalidSettings, match=reason):
        unloaded(INFERENCE_PIPELINE=reference)


def test_the_open_inference_protocol_goes_past_it() -> None:
    with serving(onnx_models.identity("FP32"), INFERENCE_PIPELINE="users_code:Good") as plane:
        item = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
        reply = send(plane, "POST", "/v2/models/m/infer", {"inputs": [item]})
    assert answer(reply)["outputs"][0]["data"] == [1, 2, 3]
