"""The servers that ours is compared with, each in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from bench.report import ROOT

HERE = Path(__file__).parent
ENVIRONMENTS = ROOT / ".cache" / "bench" / "peers"
START_TIMEOUT_SECONDS = 60

SIMPLE, OPEN_INFERENCE = "/predict", "/v2/models/digits/infer"


@dataclass(frozen=True)
class Peer:
    """A server of the digits model.

    Attributes:
        name: as tables show it.
        folder: of its requirements and script; empty for ours.
        command: below its environment's ``bin``; ``{port}`` is replaced.
        path: where it answers predictions.
        python: the interpreter that it needs.
    """

    name: str
    folder: str
    command: str
    path: str
    python: str = "3.11"


OURS = Peer("ours (Open Inference Protocol)", "", "", OPEN_INFERENCE)
OURS_SIMPLE = Peer("ours (simple form)", "", "", SIMPLE)
TEXTBOOK = Peer(
    "textbook (Flask, gunicorn)", "textbook",
    "gunicorn -w 1 --threads 8 -b 127.0.0.1:{port} serve:app", SIMPLE,
)  # fmt: skip
FASTAPI = Peer(
    "FastAPI, uvicorn", "fastapi", "uvicorn serve:app --port {port} --no-access-log", SIMPLE
)
PEERS = (
    OURS,
    OURS_SIMPLE,
    TEXTBOOK,
    FASTAPI,
    Peer("MLServer", "mlserver", "python serve.py", OPEN_INFERENCE),
    Peer("KServe", "kserve", "python serve.py", OPEN_INFERENCE),
    Peer("LitServe", "litserve", "python serve.py", SIMPLE),
    Peer("BentoML", "bentoml", "bentoml serve serve:Onnx --port {port}", SIMPLE),
    Peer("Triton (PyTriton)", "triton", "python serve.py", OPEN_INFERENCE, "3.12"),
)


def body(peer: Peer, pixels: list[float]) -> bytes:
    """The request that asks ``peer`` about one image."""
    if peer.path == SIMPLE:
        return json.dumps({"features": pixels}).encode()
    tensor = {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": pixels}
    return json.dumps({"id": "1", "inputs": [tensor]}).encode()


@contextmanager
def running(
    peer: Peer, model: Path, first_request: bytes, cpus: str | None = None
) -> Iterator[tuple[str, float]]:
    """``peer`` serving ``model``: its URL, and the seconds until its first right answer.

    Args:
        peer: what to start.
        model: the ONNX file; for ours, it may be in a folder that ``optimize`` wrote.
        first_request: sent over and over until it is answered with 200.
        cpus: that the server may run on, as taskset has them; all by default.
    """
    port = _free_port()
    command = _command(peer, port)
    environ = {**os.environ, "MODEL": str(model), "PORT": str(port), **_our_environ(model)}
    if peer.folder:  # Triton's Python backend loads the interpreter as a library
        environ["LD_LIBRARY_PATH"] = str(
            (_environment(peer) / "bin/python").resolve().parents[1] / "lib"
        )
    start = time.perf_counter()
    process = subprocess.Popen(
        [*(("taskset", "-c", cpus) if cpus else ()), *command],
        cwd=HERE / peer.folder if peer.folder else ROOT,
        env=environ,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}{peer.path}"
        _await_answer(url, first_request, process)
        yield url, time.perf_counter() - start
    finally:
        _end(process)


def _command(peer: Peer, port: int) -> list[str]:
    if not peer.folder:
        return [sys.executable, "-m", "inference_runtime.cli", "serve"]
    executable, *arguments = peer.command.format(port=port).split()
    return [str(_environment(peer) / "bin" / executable), *arguments]


def _our_environ(model: Path) -> dict[str, str]:
    return {
        "K_SERVICE": "bench",  # as on Cloud Run
        "MODEL_URI": str(model),
        "MODEL_NAME": "digits",
        "INFERENCE_REQUEST_LOG": "errors",  # as every peer's access log is off
    }


def _environment(peer: Peer) -> Path:
    """The peer's environment, made the first time."""
    folder = ENVIRONMENTS / peer.folder
    requirements = HERE / peer.folder / "requirements.txt"
    stamp = folder / "requirements.txt"
    if stamp.exists() and stamp.read_bytes() == requirements.read_bytes():
        return folder
    print(f"installing {peer.name} …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--python", _interpreter(peer.python), folder], check=True)
    python = folder / "bin" / "python"
    # Compiled, as in an image: no start is to be measured that compiles.
    install = [uv, "pip", "install", "-q", "--compile-bytecode", "--python", python]
    subprocess.run([*install, "-r", requirements], check=True)
    shutil.copy(requirements, stamp)
    return folder


def _interpreter(wanted: str) -> str:
    """An interpreter of version ``wanted``; pyenv's where it is not on the path."""
    candidates = sorted(Path.home().glob(f".pyenv/versions/{wanted}.*/bin/python"))
    return str(candidates[-1]) if candidates else wanted


def _await_answer(url: str, request: bytes, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    headers = {"content-type": "application/json"}
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with code {process.returncode}: {process.args}")
        try:
            urlopen(Request(url, request, headers), timeout=5).read()
        except (HTTPError, URLError, OSError):
            time.sleep(0.005)
        else:
            return
    raise SystemExit(f"no answer in {START_TIMEOUT_SECONDS} s: {process.args}")


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    """A port that is free, with the two above it, which some servers take for gRPC and metrics."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
