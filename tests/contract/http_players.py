"""Players that speak HTTP to a process: our server, and the hosts of Azure and Google."""

from __future__ import annotations

import http.client
import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.contract.corpus import REQUEST_ID, Reply, Request
from tests.runtime.http_server import (
    HOST,
    SERVE,
    START_SECONDS,
    Answer,
    Server,
    eventually,
    free_port,
    functions_framework,
    is_listening,
    launched,
    received,
)  # fmt: skip

Play = Callable[[Request], Reply | None]

BINARY = "application/octet-stream"
_ASGI = """
from inference_runtime import serving
from inference_runtime.adapters.asgi import Application

plane = serving.start()
app = Application(plane, plane.settings)
"""


@contextmanager
def serve(environ: dict[str, str], **more: str) -> Iterator[Server]:
    """``inference-runtime serve``, ready to answer."""
    with (
        TemporaryDirectory() as folder,
        launched(Path(folder), SERVE, {"INFERENCE_PORT": "0", **environ, **more}) as server,
    ):
        server.port = server.wait_for("listening")["port"]
        server.wait_for("ready")
        yield server


@contextmanager
def http_server(environ: dict[str, str]) -> Iterator[Play]:
    """Our own server."""
    with serve(environ) as server:
        yield lambda request: reply(send(server, request, "X-Request-Id"))


@contextmanager
def asgi(environ: dict[str, str]) -> Iterator[Play]:
    """Our ASGI application on somebody else's server."""
    with TemporaryDirectory() as folder:
        Path(folder, "app.py").write_text(_ASGI)
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", folder]
        options = ["--port", str(port), "--lifespan", "off", "--no-access-log"]
        with launched(Path(folder), [*command, *options], environ) as server:
            server.port = port
            server.wait_for("ready")
            eventually(lambda: is_listening(port))
            yield lambda request: reply(send(server, request, "X-Request-Id"))


@contextmanager
def google_functions(environ: dict[str, str]) -> Iterator[Play]:
    """Google's Functions Framework."""
    with TemporaryDirectory() as folder, functions_framework(Path(folder), environ) as server:
        yield lambda request: reply(send(server, request, "Function-Execution-Id"))


@contextmanager
def azure_functions(environ: dict[str, str]) -> Iterator[Play]:
    """A custom handler for an HTTP trigger, without forwarding: its answers are text only."""
    on_azure = {"INFERENCE_PORT": "", "FUNCTIONS_CUSTOMHANDLER_PORT": "0"}

    def play(request: Request) -> Reply | None:
        answer = send(server, enveloped(request), "X-Azure-Functions-InvocationId")
        response = answer.json["Outputs"]["res"]
        if "enableForwardingHttpRequest" in response["body"]:
            return None
        return Reply.read(response["statusCode"], response["headers"], response["body"].encode())

    with serve(environ, **on_azure) as server:
        yield play


def enveloped(request: Request) -> Request:
    """The host's request to the function ``score`` for a caller's request."""
    headers = request.headers
    try:
        body = request.body.decode()
    except UnicodeDecodeError:
        headers = {**headers, "Content-Type": BINARY}
    if headers.get("Content-Type") == BINARY:
        body = b64encode(request.body).decode()
    trigger = {
        "Url": f"https://app.azurewebsites.net{request.path}",
        "Method": request.method,
        "Headers": {name: [value] for name, value in headers.items()},
        "Body": body,
    }
    envelope = {"Data": {"req": trigger}, "Metadata": {}}
    return Request("POST", "/score", {}, json.dumps(envelope).encode())


def send(server: Server, request: Request, id_header: str) -> Answer:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=START_SECONDS)
    headers = {**request.headers, id_header: REQUEST_ID}
    connection.request(request.method, request.path, request.body, headers)
    return received(connection)


def reply(answer: Answer) -> Reply:
    return Reply.read(answer.status, answer.headers, answer.body)
