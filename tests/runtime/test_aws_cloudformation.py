"""The custom resource that copies a model's files into a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from inference_runtime.adapters.aws_cloudformation import handler

from tests.runtime.models.conftest import AWS_KEYS
from tests.runtime.models.object_server import Fault, ObjectServer, Request

COPIED = b'<?xml version="1.0"?><CopyObjectResult><ETag>"1"</ETag></CopyObjectResult>'
FILES = [
    {"Source": "assets/ab c.onnx", "Key": "digits/1/model.onnx"},
    {"Source": "assets/de.bin", "Key": "digits/1/weights.bin"},
]


class CloudFormation:
    """Takes answers at ``url``.

    Attributes:
        answers: what came, and its content type.
    """

    def __init__(self) -> None:
        self.answers: Queue[tuple[dict[str, Any], str]] = Queue()
        self._server = HTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/answer?signature=1"

    def __enter__(self) -> CloudFormation:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answers = self.answers

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answers.put((json.loads(body), self.headers["Content-Type"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    with CloudFormation() as running:
        yield running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with ObjectServer() as running:
        running.answer = lambda _request: COPIED
        for name, text in {**AWS_KEYS, "AWS_ENDPOINT_URL_S3": running.url}.items():
            monkeypatch.setenv(name, text)
        yield running


def event(cloudformation: CloudFormation, kind: str) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": cloudformation.url,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Model",
        "ResourceProperties": {"ServiceToken": "arn", "Bucket": "models", "Files": FILES},
    }


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_every_file_is_copied_by_s3(
    server: ObjectServer, cloudformation: CloudFormation, kind: str
) -> None:
    handler(event(cloudformation, kind), None)
    assert cloudformation.answers.get(timeout=5) == (
        {
            "Status": "SUCCESS",
            "PhysicalResourceId": "s3://models/digits/1/model.onnx",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Model",
        },
        "",
    )
    assert [(r.method, r.path, r.headers["x-amz-copy-source"]) for r in server.requests] == [
        ("PUT", "/models/digits/1/model.onnx", "assets/ab%20c.onnx"),
        ("PUT", "/models/digits/1/weights.bin", "assets/de.bin"),
    ]
    assert "x-amz-copy-source" in server.requests[0].headers["authorization"], "it is signed"


def test_what_was_copied_stays(server: ObjectServer, cloudformation: CloudFormation) -> None:
    handler(event(cloudformation, "Delete"), None)
    answer, _ = cloudformation.answers.get(timeout=5)
    assert answer["Status"] == "SUCCESS"
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b"<Error><Code>AccessDenied</Code></Error>"),
        (200, b"<Error><Code>Slow</Code></Error>"),
    ],
)
def test_a_copy_that_fails_is_told(
    server: ObjectServer,
    cloudformation: CloudFormation,
    status: int,
    body: bytes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(request: Request) -> Fault:
        return Fault(status=status, body=body)

    server.fault = fail
    handler(event(cloudformation, "Create"), None)
    answer, _ = cloudformation.answers.get(timeout=5)
    assert answer["Status"] == "FAILED"
    assert (
        "s3://assets/ab c.onnx cannot be copied to s3://models/digits/1/model.onnx"
        in (answer["Reason"])
    )
    assert f"answers {status} {body.decode()}" in answer["Reason"]
    assert json.loads(capsys.readouterr().out)["message"] == "model not copied"


def test_without_credentials_it_is_told(
    server: ObjectServer, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nowhere")
    handler(event(cloudformation, "Create"), None)
    answer, _ = cloudformation.answers.get(timeout=5)
    assert "there are no AWS credentials" in answer["Reason"]
