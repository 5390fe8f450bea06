"""A custom handler as the Azure Functions host calls it, over real HTTP.

The payloads are those of
https://learn.microsoft.com/en-us/azure/azure-functions/functions-custom-handlers#request-payload
and of the host's own serialisation of an HTTP request
(https://github.com/Azure/azure-functions-host, ``HttpRequestExtensions.GetRequestAsJObject``).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime import onnx_models
from tests.runtime.http_server import Answer, Server, serving

ON_AZURE = {"INFERENCE_PORT": "", "FUNCTIONS_CUSTOMHANDLER_PORT": "0"}
INVOCATION = "11111111-2222-3333-4444-555555555555"
ROW = {"features": [1, 2]}
TENSOR = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Twice its input, on the port that the Functions host names."""
    folder = tmp_path_factory.mktemp("azure")
    model = onnx_models.save(onnx_models.scaled(2.0), folder / "model.onnx")
    with serving(folder, model, **ON_AZURE) as started:
        yield started


def post(server: Server, data: dict[str, Any]) -> Answer:
    """An event as the host posts it to the function ``score``."""
    envelope = {"Data": data, "Metadata": {"sys": {"MethodName": "score"}}}
    return server.ask(
        "POST", "/score", envelope,
        Content_Type="application/json", X_Azure_Functions_InvocationId=INVOCATION,
    )  # fmt: skip


def trigger(path: str, body: str, content_type: str, method: str = "POST") -> dict[str, Any]:
    """An HTTP trigger named ``req``."""
    return {
        "req": {
            "Url": f"https://app.azurewebsites.net{path}?code=1",
            "Method": method,
            "Query": '{"code": "1"}',
            "Headers": {"Content-Type": [content_type], "Host": ["app.azurewebsites.net"]},
            "Params": {},
            "Identities": [],
            **({"Body": body} if body else {}),
        }
    }


def http(server: Server, path: str, body: Any = "", content_type: str = "application/json") -> Any:
    """The HTTP response that the function's output binding makes."""
    text = body if isinstance(body, str) else json.dumps(body)
    method = "POST" if text else "GET"
    answer = post(server, trigger(path, text, content_type, method))
    assert answer.status == 200
    assert answer.json["Outputs"]["res"] == answer.json["ReturnValue"]
    assert answer.json["Logs"] == []
    return answer.json["Outputs"]["res"]


def event(server: Server, message: Any) -> Answer:
    """A message of a queue trigger named ``item``."""
    return post(server, {"item": message})


def test_forwarded_requests_are_answered_as_they_are(server: Server) -> None:
    answer = server.ask("POST", "/predict", ROW, X_Azure_Functions_InvocationId=INVOCATION)
    assert answer.json["predictions"] == [2, 4]
    assert server.requests[-1]["request_id"] == INVOCATION


def test_a_forwarded_request_may_speak_of_metadata(server: Server) -> None:
    assert server.ask("POST", "/predict", {**ROW, "Metadata": "mine"}).status == 200
    assert server.ask("POST", "/predict", b'{"Metadata" {').json["error"]["code"] == (
        "MALFORMED_BODY"
    )


def test_an_http_triggers_request_is_unpacked(server: Server) -> None:
    response = http(server, "/predict", ROW)
    assert response["statusCode"] == 200
    assert response["headers"]["content-type"] == "application/json"
    assert json.loads(response["body"])["predictions"] == [2, 4]
    assert server.requests[-1]["request_id"] == INVOCATION


def test_so_is_one_without_a_body(server: Server) -> None:
    assert json.loads(http(server, "/v2/models/m")["body"])["name"] == "m"
    assert http(server, "/v2/models/other")["statusCode"] == 404


def test_head_is_get_without_a_body(server: Server) -> None:
    answer = post(server, trigger("/health", "", "text/plain", "HEAD"))
    response = answer.json["Outputs"]["res"]
    assert (response["statusCode"], response["body"]) == (200, "")


REQUEST = {"Url": "/predict", "Method": "POST", "Headers": {}, "Body": {"features": [1, 2]}}


@pytest.mark.parametrize(
    "changed",
    [{"Headers": 5}, {"Headers": {"a": 5}}, {"Headers": {"a": [5]}}, {"Headers": None}],
    ids=str,
)
def test_headers_of_no_known_form_are_left_out(server: Server, changed: dict[str, Any]) -> None:
    response = post(server, {"req": REQUEST | changed}).json["Outputs"]["res"]
    assert json.loads(response["body"])["predictions"] == [2, 4]


@pytest.mark.parametrize("changed", [{"Url": 1}, {"Method": None}, {"Url": "http://["}], ids=str)
def test_whatever_else_is_posted_is_the_callers_mistake(
    server: Server, changed: dict[str, Any]
) -> None:
    """Callers may post it themselves, where the host forwards requests as they are."""
    answer = post(server, {"req": REQUEST | changed})
    assert answer.status == 200
    assert "error" in str(answer.json)


def test_errors_have_their_status(server: Server) -> None:
    response = http(server, "/predict", {"features": [1]})
    assert response["statusCode"] == 400
    assert json.loads(response["body"])["error"]["code"] == "INVALID_INPUT"


def test_the_host_sends_binary_bodies_as_base64(server: Server) -> None:
    body = b64encode(json.dumps(ROW).encode()).decode()
    response = http(server, "/predict", body, "application/octet-stream")
    assert json.loads(response["body"])["predictions"] == [2, 4]
    response = http(server, "/predict", "not base64!", "application/octet-stream")
    assert response["statusCode"] == 400


def test_a_binary_answer_is_refused_because_the_host_carries_text(server: Server) -> None:
    wanted = {"inputs": [TENSOR], "parameters": {"binary_data_output": True}}
    response = http(server, "/v2/models/m/infer", wanted)
    assert response["statusCode"] == 400
    assert "enableForwardingHttpRequest" in json.loads(response["body"])["error"]


@pytest.mark.parametrize("times", [0, 1, 2], ids=["object", "text", "text in text"])
def test_a_message_is_a_request_and_the_answer_the_return_value(server: Server, times: int) -> None:
    message: Any = ROW
    for _ in range(times):
        message = json.dumps(message)
    answer = event(server, message)
    assert answer.status == 200
    assert answer.json["Outputs"] == {}
    assert answer.json["ReturnValue"]["predictions"] == [2, 4]


def test_a_message_may_be_of_the_open_inference_protocol(server: Server) -> None:
    assert event(server, {"inputs": [TENSOR]}).json["ReturnValue"]["outputs"][0]["data"] == [2, 4]


@pytest.mark.parametrize("message", ["no JSON", {"features": [1]}, None, 5, []])
def test_the_senders_mistakes_are_the_return_value(server: Server, message: Any) -> None:
    answer = event(server, message)
    assert answer.status == 200
    assert answer.json["ReturnValue"]["error"]["code"] in ("MALFORMED_BODY", "INVALID_INPUT")


def test_an_event_without_data_is_the_senders_mistake(server: Server) -> None:
    assert post(server, {}).json["ReturnValue"]["error"]["code"] == "MALFORMED_BODY"


def test_what_is_ours_fails_the_invocation_so_that_the_host_delivers_it_again(
    tmp_path: Path,
) -> None:
    """A model that runs out of memory."""
    model = onnx_models.save(onnx_models.zeros(), tmp_path / "model.onnx")
    with serving(tmp_path, model, **ON_AZURE) as greedy:
        answer = event(greedy, {"features": [10**14]})
    assert (answer.status, answer.json["error"]["code"]) == (500, "MODEL_FAILED")
