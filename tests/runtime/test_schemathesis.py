"""Every operation of the served OpenAPI document, fuzzed over HTTP by schemathesis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.runtime import onnx_models
from tests.runtime.http_server import HOST, Server, serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


NAMES = {"model": "m", "version": "1"}
MODEL = "/v2/models/{model}"
VERSION = "/v2/models/{model}/versions/{version}"
OPERATIONS = {
    ("POST", "/predict"), ("POST", "/models/{model}/predict"),
    ("GET", "/health"), ("GET", "/metrics"), ("GET", "/openapi.json"),
    ("GET", "/ping"), ("POST", "/invocations"),
    ("GET", "/v2"), ("GET", "/v2/health/live"), ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/stats"), ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/{model}/load"),
    ("POST", "/v2/repository/models/{model}/unload"),
    *(
        operation
        for path in (MODEL, VERSION)
        for operation in (
            ("GET", path), ("GET", f"{path}/ready"), ("POST", f"{path}/infer"),
            ("GET", f"{path}/config"), ("GET", f"{path}/stats"),
        )
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("schemathesis")
    model = onnx_models.save(onnx_models.sum_and_product(), folder / "model.onnx")
    with serving(folder, model, INFERENCE_METRICS="prometheus") as running:
        yield running


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_each_operation_answers_as_documented(server: Server, method: str, path: str) -> None:
    document = schemathesis.openapi.from_url(f"http://{HOST}:{server.port}/openapi.json")

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=document[path][method].as_strategy(), known=st.booleans())
    def check(case: schemathesis.Case, known: bool) -> None:
        if known:
            case.path_parameters |= {name: NAMES[name] for name in case.path_parameters}
        case.call_and_validate(checks=CHECKS)

    check()


def test_every_operation_is_tried(server: Server) -> None:
    document = server.ask("GET", "/openapi.json").json
    served = {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}
    assert served == OPERATIONS
