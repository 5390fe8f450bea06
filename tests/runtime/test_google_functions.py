"""The function on Google's own Functions Framework, as Cloud Functions starts it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.runtime.http_server import Server, eventually, functions_framework
from tests.runtime.planes import DIGITS

SAMPLES = json.loads(DIGITS.with_name("samples.json").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("google")
    environ = {"MODEL_URI": str(DIGITS), "MODEL_NAME": "m", "INFERENCE_CORS_ORIGINS": "*"}
    with functions_framework(folder, environ) as started:
        yield started


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample["label"]))
def test_predictions_are_right(server: Server, sample: dict[str, list[float]]) -> None:
    answer = server.ask(
        "POST", "/predict", {"features": sample["pixels"]}, Content_Type="application/json"
    )
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["predictions"]["label"] == sample["label"]


def test_the_open_inference_protocol_is_there_in_binary_too(server: Server) -> None:
    (described,) = server.ask("GET", "/v2/models/m").json["inputs"]
    tensor = {**described, "shape": [1, 64], "parameters": {"binary_data_size": 256}}
    asked = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(asked).encode()
    body = head + bytes(256)
    answer = server.ask(
        "POST", "/v2/models/m/infer", body, Inference_Header_Content_Length=str(len(head))
    )
    assert answer.status == 200, answer.body
    length = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.body[:length])["outputs"]
    assert len(answer.body) > length


def test_errors_have_their_status(server: Server) -> None:
    assert server.ask("POST", "/predict", {"features": [1]}).status == 400
    assert server.ask("GET", "/nowhere").json["error"]["code"] == "NOT_FOUND"


def test_paths_are_decoded_once(server: Server) -> None:
    assert server.ask("GET", "/v2/models/%6d").status == 200
    assert server.ask("GET", "/v2/models/%256d").status == 404


def test_head_and_options_are_answered(server: Server) -> None:
    assert server.ask("HEAD", "/health").status == 200
    assert server.ask("OPTIONS", "/predict", Origin="https://a.org").status == 204


def test_the_executions_id_is_in_the_log(server: Server) -> None:
    server.ask("POST", "/predict", {"features": [1]}, Function_Execution_Id="execution-1")
    eventually(lambda: server.requests[-1]["request_id"] == "execution-1")
