"""Which request reaches what: URLs, outputs, functions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cdk_inference.local import Emulator, LocalError, Reply, invoke, invoke_function, local_url

ARN = "arn:aws:lambda:eu-west-1:111122223333:function:Reader:live"
UNKNOWN_FUNCTION = "Nothing"


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes
    authorization: str | None


class Recorder(HTTPServer):
    """Stands in for the emulator: keeps what it is asked; answers 200, or 404 for one function."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[Request] = []


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(Request(self.path, body, self.headers["Authorization"]))
        self.send_response(404 if UNKNOWN_FUNCTION in self.path else 200)
        self.end_headers()
        self.wfile.write(b'{"answer": 42}')

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def emulator(tmp_path: Path, recorder: Recorder) -> Emulator:
    outputs = {
        "One": {"ApiUrl": "https://abc.execute-api.us-east-1.amazonaws.com/", "Arn1A2B3C4D": ARN},
        "Two": {"ApiUrl": "http://def.execute-api.localhost:4566/predict"},
    }
    (tmp_path / "outputs.json").write_text(json.dumps(outputs))
    return Emulator(tmp_path, pid=1, port=recorder.server_port, started="")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://abc.execute-api.us-east-1.amazonaws.com/", "execute-api/abc/"),
        ("https://abc.execute-api.us-east-1.amazonaws.com", "execute-api/abc/"),
        (
            "https://abc.execute-api.eu-west-1.amazonaws.com/prod/a?b=c",
            "execute-api/abc/prod/a?b=c",
        ),
        ("http://abc.execute-api.localhost:4566/predict", "execute-api/abc/predict"),
        ("https://xyz.lambda-url.us-east-1.on.aws/a", "lambda-url/xyz/a"),
    ],
)
def test_a_url_of_aws_is_served_here(emulator: Emulator, url: str, expected: str) -> None:
    here = f"{emulator.url}/_aws/{expected}"
    assert local_url(emulator, url) == here
    assert local_url(emulator, here) == here


@pytest.mark.parametrize("url", ["https://example.com/", "arn:aws:lambda:x", "", "https://"])
def test_any_other_url_is_refused(emulator: Emulator, url: str) -> None:
    with pytest.raises(LocalError, match="is not the URL of an API"):
        local_url(emulator, url)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("One.ApiUrl", "/_aws/execute-api/abc/"),
        ("One.ApiUrl/predict", "/_aws/execute-api/abc/predict"),
        ("Two.ApiUrl", "/_aws/execute-api/def/predict"),
        ("https://new.execute-api.us-east-1.amazonaws.com/x", "/_aws/execute-api/new/x"),
    ],
)
def test_a_url_gets_a_post(emulator: Emulator, recorder: Recorder, target: str, path: str) -> None:
    reply = invoke(emulator, target, b"[1]")

    assert recorder.requests == [Request(path, b"[1]", None)]
    assert reply.json() == {"answer": 42}
    assert 0 < reply.seconds < 5


@pytest.mark.parametrize("target", ["One.Arn1A2B3C4D", "One.Arn", "Arn", ARN])
def test_an_arn_is_invoked_in_its_account_and_region(
    emulator: Emulator, recorder: Recorder, target: str
) -> None:
    invoke(emulator, target, b"{}")

    [request] = recorder.requests
    assert request.path == f"/2015-03-31/functions/{ARN.replace(':', '%3A')}/invocations"
    assert request.authorization is not None
    assert "Credential=111122223333/20000101/eu-west-1/lambda/" in request.authorization


def test_a_name_is_invoked_in_the_default_account_and_region(
    emulator: Emulator, recorder: Recorder
) -> None:
    invoke_function(emulator, "Reader", b"{}")

    [request] = recorder.requests
    assert request.path == "/2015-03-31/functions/Reader/invocations"
    assert request.authorization is not None
    assert "Credential=000000000000/20000101/us-east-1/lambda/" in request.authorization


def test_an_unknown_target_is_refused_with_the_known_ones(emulator: Emulator) -> None:
    with pytest.raises(LocalError, match="neither an output nor a function") as raised:
        invoke(emulator, UNKNOWN_FUNCTION, b"{}")

    assert str(raised.value).endswith("The outputs are: One.ApiUrl, One.Arn1A2B3C4D, Two.ApiUrl.")


def test_a_name_that_two_stacks_share_is_no_output(emulator: Emulator, recorder: Recorder) -> None:
    invoke(emulator, "ApiUrl", b"{}")

    assert recorder.requests[0].path == "/2015-03-31/functions/ApiUrl/invocations"


def test_an_emulator_that_does_not_answer_is_told(tmp_path: Path) -> None:
    nobody = Emulator(tmp_path, pid=1, port=9, started="")
    with pytest.raises(LocalError, match=r"did not answer .*emulator\.log"):
        invoke_function(nobody, "Reader", b"{}")


def test_an_error_of_the_function_is_no_answer() -> None:
    assert Reply(200, b"{}", 0.001).ok
    assert not Reply(400, b"{}", 0.001).ok
    assert not Reply(200, b"{}", 0.001, function_error="Unhandled").ok
