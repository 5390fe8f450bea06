"""``inference-runtime fetch``: what it leaves in the cache, and how it tells that it is there."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.runtime.http_server import HOST, SERVE, eventually, launched
from tests.runtime.models.object_server import ObjectServer
from tests.runtime.planes import DIGITS

FETCH = [sys.executable, "-m", "inference_runtime.cli", "fetch"]
CONTENT = DIGITS.read_bytes()
OBJECT = "storage/v1/b/b/o/digits%2F3%2Fmodel.onnx"


@pytest.fixture
def store() -> Iterator[ObjectServer]:
    with ObjectServer({OBJECT: CONTENT}) as running:
        yield running


def environ_of(store: ObjectServer, tmp_path: Path, **others: str) -> dict[str, str]:
    return {
        "MODEL_URI": "gs://b/digits/3/model.onnx",
        "MODEL_SHA256": sha256(CONTENT).hexdigest(),
        "INFERENCE_CACHE_DIR": str(tmp_path / "cache"),
        "STORAGE_EMULATOR_HOST": store.url,
        **others,
    }


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FETCH, *arguments], capture_output=True, text=True, env=environ, check=False
    )


def test_a_server_then_starts_without_the_store(store: ObjectServer, tmp_path: Path) -> None:
    environ = environ_of(store, tmp_path, INFERENCE_PORT="0")
    assert run(environ).returncode == 0
    requests = len(store.requests)
    with launched(tmp_path, SERVE, environ) as server:
        server.port = server.wait_for("listening")["port"]
        server.wait_for("ready")
        assert server.ask("GET", "/health").status == 200
    assert len(store.requests) == requests > 0


def test_with_stay_it_listens_once_the_model_is_there_and_not_before(
    store: ObjectServer, tmp_path: Path
) -> None:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    environ = environ_of(store, tmp_path, INFERENCE_PORT=str(port))
    refused = []

    def try_the_port(_request: object) -> None:
        with socket.socket() as probe:
            refused.append(probe.connect_ex((HOST, port)) != 0)

    store.fault = try_the_port
    with launched(tmp_path, [*FETCH, "--stay"], environ) as loader:
        assert loader.wait_for("listening")["port"] == port
        for _ in range(3):
            socket.create_connection((HOST, port), timeout=10).close()
        (model,) = (tmp_path / "cache").rglob("model.onnx")
        assert model.read_bytes() == CONTENT
        loader.signal()
        assert eventually(lambda: loader.process.poll() is not None)
        assert loader.process.returncode == 0
    assert refused
    assert all(refused)


def test_what_is_said_comes_before_the_environment(store: ObjectServer, tmp_path: Path) -> None:
    done = run(environ_of(store, tmp_path), "--model", "gs://b/gone.onnx")
    assert done.returncode == 1
    assert "gs://b/gone.onnx does not exist" in done.stderr


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"MODEL_SHA256": "0" * 64}, "but MODEL_SHA256 is"),
        ({"MODEL_URI": "gs://b"}, "MODEL_URI is 'gs://b'"),
    ],
)
def test_a_model_that_cannot_be_had_is_told_and_nothing_listens(
    store: ObjectServer, tmp_path: Path, other: dict[str, str], message: str
) -> None:
    done = run(environ_of(store, tmp_path, **other), "--stay")
    assert done.returncode == 1
    assert message in done.stderr


def test_a_port_that_is_taken_is_told(store: ObjectServer, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(environ_of(store, tmp_path, INFERENCE_PORT=port), "--stay")
    assert done.returncode == 1
    assert f"cannot listen on {HOST} port {port}" in done.stderr
