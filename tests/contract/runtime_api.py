"""Lambda's Runtime API, as much as its clients use, and clients run against it: AWS's and ours.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from queue import Empty, Queue
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import Any

# What the Lambda image starts, after the interpreter.
AWSLAMBDARIC = ("-m", "awslambdaric", "inference_runtime.adapters.aws_lambda.handler")
LOOP = ("-c", "from inference_runtime.adapters.aws_lambda_runtime import main; main()")
PREFIX = "/2018-06-01/runtime"
EXTENSION = "/2020-01-01/extension"
TIMEOUT_S = 30
# What the tests themselves run under is no setting of the function.
SETTINGS = ("MODEL_", "INFERENCE_", "AWS_")


@dataclass(frozen=True)
class Outcome:
    """What the client posted: ``response``, ``error`` or ``init error``, its body and headers."""

    kind: str
    body: bytes
    headers: dict[str, str]

    @property
    def payload(self) -> Any:
        return json.loads(self.body)


class RuntimeApi:
    """Hands events to one client and takes what it answers.

    Attributes:
        outcomes: what the client posted and nobody took yet.
        requests: every request's method and path, in order.
        status: of the answer to what the client posts.
        extra: headers that come with each event.
        seconds_left: from an event to its deadline.
        connections: how many were opened so far.
    """

    def __init__(self) -> None:
        self.outcomes: Queue[Outcome] = Queue()
        self.requests: list[str] = []
        self.status = 202
        self.extra: dict[str, str] = {}
        self.seconds_left: float = TIMEOUT_S
        self.connections = 0
        self._events: Queue[tuple[bytes, str]] = Queue()
        self._closed = Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def invoke(self, event: Any, request_id: str) -> Outcome:
        """Hand over one event and wait for what comes back."""
        self.put(event, request_id)
        return self.outcome()

    def put(self, event: Any, request_id: str) -> None:
        """Hand over one event; bytes are sent as they are."""
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        self._events.put((data, request_id))

    def outcome(self) -> Outcome:
        """Wait for the next thing that the client posts."""
        try:
            return self.outcomes.get(timeout=TIMEOUT_S)
        except Empty:
            raise TimeoutError(f"the client answered nothing in {TIMEOUT_S} s") from None

    def next_event(self) -> tuple[bytes, str]:
        return self._events.get()

    def wait_for_the_end(self) -> None:
        self._closed.wait()

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may be killed at any time."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(api: RuntimeApi) -> type[StreamRequestHandler]:
    class Handler(StreamRequestHandler):
        """As little HTTP as Lambda's clients speak, to add little to what is measured of them."""

        disable_nagle_algorithm = True

        def handle(self) -> None:
            api.connections += 1
            while line := self.rfile.readline():
                method, path, _ = line.decode().split(" ")
                api.requests.append(f"{method} {path}")
                headers = dict(self._headers())
                self._answer(path, headers, self._body(headers))

        def _answer(self, path: str, headers: dict[str, str], body: bytes) -> None:
            if path == f"{PREFIX}/invocation/next":
                self._send_event()
            elif path == f"{PREFIX}/restore/next":
                self._reply(200, {}, b"")
            elif path == f"{EXTENSION}/register":
                assert json.loads(body) == {"events": []}
                self._reply(200, {"Lambda-Extension-Identifier": "extension-1"}, b"{}")
            elif path == f"{EXTENSION}/event/next":
                api.wait_for_the_end()
            else:
                self._reply(api.status, {}, b"{}")
                kind = "init error" if path == f"{PREFIX}/init/error" else path.rpartition("/")[2]
                assert kind in ("init error", "response", "error")
                api.outcomes.put(Outcome(kind, body, headers))

        def _send_event(self) -> None:
            event, request_id = api.next_event()
            headers = {
                "Content-Type": "application/json",  # awslambdaric crashes without it
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + api.seconds_left) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:0:function:f",
            }
            self._reply(200, headers | api.extra, event)

        def _headers(self) -> Iterator[tuple[str, str]]:
            while line := self.rfile.readline().strip():
                name, _, value = line.decode().partition(":")
                yield name.lower(), value.strip()

        def _body(self, headers: dict[str, str]) -> bytes:
            if headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(headers.get("content-length", "0")))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            lines += [f"Content-Length: {len(body)}", "", ""]
            self.wfile.write("\r\n".join(lines).encode() + body)

    return Handler


@contextmanager
def lambda_client(
    environ: dict[str, str], client: tuple[str, ...] = AWSLAMBDARIC
) -> Iterator[RuntimeApi]:
    """A client, as the Lambda image starts it, against a Runtime API of its own.

    The function's output is what pytest captures.
    """
    api = RuntimeApi()
    with lambda_process(api, environ, client):
        yield api


@contextmanager
def lambda_process(
    api: RuntimeApi,
    environ: dict[str, str],
    client: tuple[str, ...],
    interpreter: str = sys.executable,
) -> Iterator[subprocess.Popen[bytes]]:
    """The client's process; at the end it and ``api`` are no more."""
    others = {name: text for name, text in os.environ.items() if not name.startswith(SETTINGS)}
    process = subprocess.Popen(
        [interpreter, *client],
        env={**others, **environ, "AWS_LAMBDA_RUNTIME_API": api.address},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        api.close()
