from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import onnx
import pytest
from inference_runtime import serving
from inference_runtime.dataplane import DataPlane
from inference_runtime.settings import Settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.runtime import onnx_models

REPOSITORY = Path(__file__).parents[2]

Start = Callable[..., DataPlane]
ReadLog = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def digits() -> Path:
    """The folder of the committed digits model."""
    return REPOSITORY / "models" / "digits"


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a data plane for a model, with further settings as keywords."""

    def _start(model: onnx.ModelProto, **environ: str) -> DataPlane:
        path = onnx_models.save(model, tmp_path / "model.onnx")
        return serving.start(Settings.read({"MODEL_URI": path, **environ}))

    return _start


@pytest.fixture
def read_log(capsys: pytest.CaptureFixture[str]) -> ReadLog:
    """The lines that were logged since the last call."""

    def _read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return _read


@pytest.fixture
def collector() -> Iterator[tuple[str, set[bytes]]]:
    """An OpenTelemetry collector: its URL, and the trace ids that it was sent."""
    traces: set[bytes] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    traces.update(span.trace_id for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", traces
    server.shutdown()
    server.server_close()
