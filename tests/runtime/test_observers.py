from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from inference_runtime.dataplane import DataPlane
from inference_runtime.observers.traces import Traces
from inference_runtime.settings import TRACE_ID, Settings
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.runtime import http_server, onnx_models
from tests.runtime.planes import send, serving

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GOOD = {"features": [1, 2, 3]}
BAD = {"features": ["x"]}


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def requests(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [line for line in lines(capsys) if line["message"] == "request"]


def predict(plane: DataPlane, body: Any, **headers: str) -> int:
    return send(plane, "POST", "/predict", body, headers).status


def test_each_prediction_and_each_error_leaves_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx_models.identity("FP32")
    digest = sha256(model.SerializeToString()).hexdigest()
    with serving(model, MODEL_SHA256=digest) as plane:
        send(plane, "GET", "/health")
        predict(plane, GOOD)
        predict(plane, BAD)
    good, bad = requests(capsys)
    assert good["status"] == 200
    assert good["cold_start"] is True
    assert good["batch_size"] == 1
    assert good["model_digest"] == digest[:12]
    assert {"decode_ms", "run_ms", "encode_ms"} <= good.keys()
    assert (bad["status"], bad["error"], bad["fault"]) == (400, "INVALID_INPUT", "client")
    assert bad["cold_start"] is False


def test_with_level_errors_predictions_leave_none(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(onnx_models.identity("FP32"), INFERENCE_REQUEST_LOG="errors") as plane:
        predict(plane, GOOD)
        predict(plane, BAD)
    assert [line["status"] for line in requests(capsys)] == [400]


def test_emf_names_metrics_that_the_line_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(onnx_models.identity("FP32"), INFERENCE_METRICS="emf") as plane:
        predict(plane, GOOD)
    (line,) = requests(capsys)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "InferenceRuntime"
    assert directive["Dimensions"] == [["model", "model_version"]]
    named = [metric["Name"] for metric in directive["Metrics"]]
    assert {"run_ms", "batch_size"} <= set(named)
    assert all(isinstance(line[name], int | float) for name in named)
    assert all(isinstance(line[name], str) for name in directive["Dimensions"][0])


def test_prometheus_counts_requests_by_outcome() -> None:
    with serving(onnx_models.identity("FP32"), INFERENCE_METRICS="prometheus") as plane:
        for body in (GOOD, GOOD, BAD):
            predict(plane, body)
        reply = send(plane, "GET", "/metrics")
    text = reply.body.decode()
    assert reply.headers["content-type"].startswith("text/plain")
    assert 'inference_requests_total{model="m",outcome="ok",version="1"} 2.0' in text
    assert 'inference_requests_total{model="m",outcome="INVALID_INPUT",version="1"} 1.0' in text
    assert 'inference_part_seconds_count{model="m",part="run",version="1"} 2.0' in text


def test_without_prometheus_there_is_no_such_path() -> None:
    with serving(onnx_models.identity("FP32")) as plane:
        assert send(plane, "GET", "/metrics").status == 404


def test_a_span_and_its_parts_join_the_callers_trace() -> None:
    exporter = InMemorySpanExporter()
    settings = Settings.read({"MODEL_URI": "unused", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"})
    with serving(onnx_models.identity("FP32")) as plane:
        plane.add_observer(Traces(settings, exporter))
        predict(plane, GOOD, traceparent=TRACEPARENT)
        predict(plane, BAD)
        plane.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans.keys() == {"infer", "decode", "run", "encode"}
    infer = spans["infer"]
    assert f"{infer.context.trace_id:032x}" == TRACEPARENT.split("-")[1]
    assert f"{infer.parent.span_id:016x}" == TRACEPARENT.split("-")[2]
    assert infer.attributes["inference.batch_size"] == 1
    for part in ("decode", "run", "encode"):
        assert spans[part].parent.span_id == infer.context.span_id
        assert infer.start_time <= spans[part].start_time <= spans[part].end_time <= infer.end_time


def test_a_server_sends_its_spans_before_it_ends(
    tmp_path: Path, digits: Path, collector: tuple[str, set[bytes]]
) -> None:
    url, traces = collector
    tracing = {"INFERENCE_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url}
    with http_server.serving(tmp_path, digits / "digits.onnx", **tracing) as server:
        pixels = {"features": [0] * 64}
        assert server.ask("POST", "/predict", pixels, traceparent=TRACEPARENT).status == 200
        server.signal()
        assert server.process.wait(timeout=10) == 0
    assert traces == {bytes.fromhex(TRACEPARENT.split("-")[1])}


XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled="


def spans_of_a_prediction(**headers: str) -> list[Any]:
    exporter = InMemorySpanExporter()
    settings = Settings.read({"MODEL_URI": "unused", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"})
    with serving(onnx_models.identity("FP32")) as plane:
        plane.add_observer(Traces(settings, exporter))
        predict(plane, GOOD, **headers)
        plane.close()
    return list(exporter.get_finished_spans())


def test_on_lambda_a_span_joins_the_trace_of_the_invocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TRACE_ID, f"{XRAY}1;Lineage=a87bd80c:0|68fd508a:5")
    (infer,) = (span for span in spans_of_a_prediction() if span.name == "infer")
    assert f"{infer.context.trace_id:032x}" == "5759e988bd862e3fe1be46a994272793"
    assert f"{infer.parent.span_id:016x}" == "53995c3f42cd8ad8"


def test_what_x_ray_does_not_sample_is_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACE_ID, f"{XRAY}0")
    assert spans_of_a_prediction() == []


@pytest.mark.parametrize("header", ["", "Root=1-5759e988-bd862e3fe1be46a994272793", "nonsense"])
def test_without_a_span_of_the_caller_there_is_a_trace_of_its_own(
    header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRACE_ID, header)
    assert sum(span.parent is None for span in spans_of_a_prediction()) == 1


def test_the_callers_own_header_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACE_ID, f"{XRAY}0")
    (span, *_) = spans_of_a_prediction(traceparent=TRACEPARENT)
    assert f"{span.context.trace_id:032x}" == TRACEPARENT.split("-")[1]


@pytest.mark.parametrize(
    ("environ", "module", "extra"),
    [
        ({"INFERENCE_METRICS": "prometheus"}, "prometheus_client", "prometheus"),
        ({"INFERENCE_TRACES": "otlp"}, "opentelemetry", "otlp"),
    ],
)
def test_what_is_not_installed_is_named(environ: dict[str, str], module: str, extra: str) -> None:
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from inference_runtime.settings import Settings\n"
        "from inference_runtime.serving import start\n"
        f"start(Settings.read({environ | {'MODEL_URI': 'unused'}!r}))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 1
    assert f"install inference-runtime[{extra}]" in run.stderr


def test_observers_that_are_off_are_not_imported() -> None:
    script = (
        "import sys\n"
        "import inference_runtime.dataplane\n"
        "print([m for m in sys.modules if m.startswith(('prometheus', 'opentelemetry'))])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
