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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any

# What the Lambda image starts, after the interpreter.
AWSLAMBDARIC = ("-m", "awslambdaric", "inference_runtime.adapters.aws_lambda.handler")
LOOP = ("-m", "inference_runtime.adapters.aws_lambda_runtime")
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
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
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


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            api.connections += 1

        def do_GET(self) -> None:
            api.requests.append(f"GET {self.path}")
            if self.path == f"{EXTENSION}/event/next":
                api.wait_for_the_end()
            elif self.path == f"{PREFIX}/restore/next":
                self._reply(200, {}, b"")
            else:
                assert self.path == f"{PREFIX}/invocation/next"
                self._send_event()

        def do_POST(self) -> None:
            api.requests.append(f"POST {self.path}")
            body = self._body()
            if self.path == f"{EXTENSION}/register":
                assert json.loads(body) == {"events": []}
                self._reply(200, {"Lambda-Extension-Identifier": "extension-1"}, b"{}")
                return
            self._reply(api.status, {}, b"{}")
            kinds = {"response": "response", "error": "error"}
            tail = self.path.rpartition("/")[2]
            kind = "init error" if self.path == f"{PREFIX}/init/error" else kinds[tail]
            headers = {name.lower(): value for name, value in self.headers.items()}
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

        def _body(self) -> bytes:
            if self.headers["Transfer-Encoding"] != "chunked":
                return self.rfile.read(int(self.headers["Content-Length"]))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

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
    api: RuntimeApi, environ: dict[str, str], client: tuple[str, ...]
) -> Iterator[subprocess.Popen[bytes]]:
    """The client's process; at the end it and ``api`` are no more."""
    others = {name: text for name, text in os.environ.items() if not name.startswith(SETTINGS)}
    process = subprocess.Popen(
        [sys.executable, *client],
        env={**others, **environ, "AWS_LAMBDA_RUNTIME_API": api.address},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        api.close()
