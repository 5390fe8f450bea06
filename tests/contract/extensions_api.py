"""Lambda's Extensions API, as much as an external extension uses, and our extension run against it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from inference_runtime import adapters

LAUNCHER = Path(adapters.__path__[0]) / "model_cache_extension.sh"
EXTENSION = "/2020-01-01/extension"
IDENTIFIER = "extension-1"
TIMEOUT_S = 20
# What the tests themselves run under is no setting of the function.
SETTINGS = ("MODEL_", "INFERENCE_", "AWS_")


class ExtensionsApi:
    """Registers extensions and sends them events.

    Attributes:
        registered: name and events of each extension that nobody took yet.
        asked: one entry for each time that an extension asked for its next event.
        status: of the answer to a registration.
    """

    def __init__(self) -> None:
        self.registered: Queue[tuple[str, list[str]]] = Queue()
        self.asked: Queue[str] = Queue()
        self.status = 200
        self._events: Queue[dict[str, Any]] = Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ExtensionsApi:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def send(self, event_type: str) -> None:
        """Let an extension that asks have an event."""
        self._events.put({"eventType": event_type, "deadlineMs": 0})

    def next_event(self) -> dict[str, Any]:
        return self._events.get()


def _handler(api: ExtensionsApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == f"{EXTENSION}/register"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.registered.put((self.headers["Lambda-Extension-Name"], body["events"]))
            self._reply(api.status, {"functionName": "f"})

        def do_GET(self) -> None:
            assert self.path == f"{EXTENSION}/event/next"
            assert self.headers["Lambda-Extension-Identifier"] == IDENTIFIER
            api.asked.put(self.path)
            self._reply(200, api.next_event())

        def _reply(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Lambda-Extension-Identifier", IDENTIFIER)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    return Handler


def install(folder: Path, name: str) -> Path:
    """The extension as Lambda finds it, in a folder in the place of ``/opt/extensions``."""
    file = folder / name
    shutil.copy(LAUNCHER, file)
    file.chmod(0o755)
    return file


@contextmanager
def extension(
    file: Path, api: ExtensionsApi, environ: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """The extension's process, started as Lambda does it: the file, and no more."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith(SETTINGS)}
    path = f"{Path(sys.executable).parent}:{clean['PATH']}"
    process = subprocess.Popen(
        [file],
        cwd="/",
        env={**clean, **environ, "PATH": path, "AWS_LAMBDA_RUNTIME_API": api.address},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
