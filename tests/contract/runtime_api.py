"""Lambda's Runtime API, as much as its clients use, and the real client run against it.

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
from threading import Thread
from typing import Any

HANDLER = "inference_runtime.adapters.aws_lambda.handler"
PREFIX = "/2018-06-01/runtime"
TIMEOUT_S = 30
# What the tests themselves run under is no setting of the function.
SETTINGS = ("MODEL_", "INFERENCE_", "AWS_")


@dataclass(frozen=True)
class Outcome:
    """What the client posted: ``response``, ``error`` or ``init error``, and its JSON."""

    kind: str
    payload: Any


class RuntimeApi:
    """Hands events to one client and takes what it answers."""

    def __init__(self) -> None:
        self.outcomes: Queue[Outcome] = Queue()
        self._events: Queue[tuple[bytes, str]] = Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def invoke(self, event: Any, request_id: str) -> Outcome:
        """Hand over one event and wait for what comes back."""
        self._events.put((json.dumps(event).encode(), request_id))
        return self.outcome()

    def outcome(self) -> Outcome:
        """Wait for the next thing that the client posts."""
        try:
            return self.outcomes.get(timeout=TIMEOUT_S)
        except Empty:
            raise TimeoutError(f"the client answered nothing in {TIMEOUT_S} s") from None

    def next_event(self) -> tuple[bytes, str]:
        return self._events.get()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            assert self.path == f"{PREFIX}/invocation/next"
            event, request_id = api.next_event()
            headers = {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + TIMEOUT_S) * 1000)),
                "Content-Type": "application/json",
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:0:function:f",
            }
            self._reply(200, headers, event)

        def do_POST(self) -> None:
            payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._reply(202, {}, b"{}")
            kinds = {"response": "response", "error": "error"}
            tail = self.path.rpartition("/")[2]
            kind = "init error" if self.path == f"{PREFIX}/init/error" else kinds[tail]
            api.outcomes.put(Outcome(kind, payload))

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
def lambda_client(environ: dict[str, str]) -> Iterator[RuntimeApi]:
    """``python -m awslambdaric``, as the Lambda image starts it, against a Runtime API of its own.

    The function's output is what pytest captures.
    """
    api = RuntimeApi()
    others = {name: text for name, text in os.environ.items() if not name.startswith(SETTINGS)}
    process = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", HANDLER],
        env={**others, **environ, "AWS_LAMBDA_RUNTIME_API": api.address},
    )
    try:
        yield api
    finally:
        process.kill()
        process.wait()
        api.close()
