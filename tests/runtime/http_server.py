"""Real servers on loopback, each a process of its own, and plain sockets to talk to them."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

SERVE = [sys.executable, "-m", "inference_runtime.cli", "serve"]
T = TypeVar("T")

HOST = "127.0.0.1"
START_SECONDS = 30
# What the machine that runs the tests may have set.
_FOREIGN = re.compile(r"MODEL_|INFERENCE_|AIP_|FUNCTIONS_|AWS_LAMBDA|SAGEMAKER_|PORT$")


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A process that serves."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.port = 0
        self._log = log

    @property
    def text(self) -> str:
        """All that it wrote, without a line that is being written."""
        return self._log.read_text().rpartition("\n")[0]

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.log if line["message"] == "request"]

    def wait_for(self, message: str) -> dict[str, Any]:
        """The first line with ``message``, once it is logged."""

        def found() -> list[dict[str, Any]]:
            assert self.process.poll() is None, self._log.read_text()
            return [line for line in self.log if line["message"] == message]

        return eventually(found)[0]

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=START_SECONDS)

    def ask(self, method: str, path: str, body: Any = b"", **headers: str) -> Answer:
        """One request on a connection of its own; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(HOST, self.port, timeout=START_SECONDS)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, data, names)
        return received(connection)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def cpu_seconds(self) -> float:
        """Processor time so far: proc(5), fields 14 and 15."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def received(connection: http.client.HTTPConnection) -> Answer:
    """The answer on a connection, which is then closed."""
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    answer = Answer(response.status, headers, response.read())
    connection.close()
    return answer


def eventually(look: Callable[[], T], seconds: float = START_SECONDS) -> T:
    """What ``look`` finds, once that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


@contextmanager
def launched(
    folder: Path, arguments: list[str], environ: dict[str, str], *, stdin: bool = False
) -> Iterator[Server]:
    """A process that serves; it and its children are killed at the end.

    With ``stdin``, its standard input is a pipe.
    """
    own = {name: text for name, text in os.environ.items() if not _FOREIGN.match(name)}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments,
            env={**own, **environ},
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(process, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def serving(folder: Path, model: str | Path, **environ: str) -> Iterator[Server]:
    """``inference-runtime serve`` for ``model`` under the name ``m``, ready to answer."""
    settings = {"MODEL_URI": str(model), "MODEL_NAME": "m", "INFERENCE_PORT": "0", **environ}
    with launched(folder, SERVE, settings) as server:
        server.port = server.wait_for("listening")["port"]
        server.wait_for("ready")
        yield server


@contextmanager
def functions_framework(folder: Path, environ: dict[str, str]) -> Iterator[Server]:
    """Google's Functions Framework with our function, ready to answer."""
    source = folder / "main.py"
    source.write_text("from inference_runtime.adapters.google_functions import handler\n")
    port = free_port()
    program = str(Path(sys.executable).with_name("functions-framework"))
    arguments = [program, "--target=handler", f"--source={source}", f"--port={port}"]
    with launched(folder, arguments, environ) as server:
        server.port = port
        server.wait_for("ready")
        eventually(lambda: is_listening(port))
        yield server


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def is_listening(port: int) -> bool:
    try:
        socket.create_connection((HOST, port)).close()
    except ConnectionRefusedError:
        return False
    return True
