"""A start from a remote model, whole: over TLS, without an SDK, in a process of its own."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import trust
from inference_runtime.models.http_client import Untrusted
from inference_runtime.models.https import HttpsStore
from inference_runtime.models.reader import ATTEMPTS, Reader

from tests.runtime.models.conftest import AWS_KEYS, Fetch
from tests.runtime.models.object_server import ObjectServer
from tests.runtime.models.samples import padded

START = """
import json, sys
from inference_runtime.serving import start
plane = start()
print(json.dumps([plane.repository.ready, sorted(sys.modules)]))
"""
# To load one of these takes as long as a round trip.
SLOW = {"_hashlib", "http", "selectors", "socket", "ssl"}
FIRST_REQUEST = """
import os, sys
from inference_runtime.models import find_models, opening
from inference_runtime.settings import Settings

def tell(*_):
    print(*sys.modules, flush=True)
    os._exit(0)

opening.Opening.__init__ = tell
find_models(Settings.read())[0].fetch()
"""
SDKS = {"boto3", "botocore", "google.auth", "requests", "urllib3", "numpy", "asyncio"}


def start(**environ: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """The log of a start in a process of its own, and what it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", START], env=environ, capture_output=True, text=True, check=True
    )
    *log, last = map(json.loads, ended.stdout.splitlines())
    return log, last


def test_a_start_from_s3_loads_nothing_slow_and_logs_its_phases(
    server: ObjectServer, cache: Path
) -> None:
    server.objects["b/m.onnx"] = model = padded(1000)
    log, (ready, modules) = start(
        MODEL_URI="s3://b/m.onnx", AWS_ENDPOINT_URL=server.url, INFERENCE_CACHE_DIR=str(cache),
        **AWS_KEYS,
    )  # fmt: skip
    assert ready
    assert (SDKS | SLOW).isdisjoint(modules)
    fetched, started = log
    assert fetched["message"] == "model fetched"
    assert (fetched["uri"], fetched["bytes"]) == ("s3://b/m.onnx", len(model))
    assert fetched["fetch_ms"] > 0
    assert started["message"] == "ready"


def test_a_model_is_asked_for_before_what_fetches_it_is_imported(cache: Path) -> None:
    environ = {"MODEL_URI": "s3://b/m.onnx", "INFERENCE_CACHE_DIR": str(cache), **AWS_KEYS}
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_REQUEST], env=environ, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    own = {name for name in ended.stdout.split() if name.startswith("inference_runtime.models.")}
    names = {name.removeprefix("inference_runtime.models.") for name in own}
    assert names == {
        "aws_credentials", "call", "http_client", "opening", "reader", "remote", "s3", "sigv4",
        "store", "tokens", "url",
    }  # fmt: skip


def test_a_start_that_fails_names_the_uri_and_hides_the_signature(
    server: ObjectServer, cache: Path
) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        start(MODEL_URI=f"{server.url}/m.onnx?signature=secret", INFERENCE_CACHE_DIR=str(cache))
    (line,) = map(json.loads, raised.value.stdout.splitlines())
    assert line["error"] == "MODEL_NOT_LOADED"
    assert f"{server.url}/m.onnx does not exist" in line["detail"]
    assert "secret" not in raised.value.stdout + raised.value.stderr


# Encryption


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost, and its key."""
    if which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate")
    file = tmp_path / "localhost.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(file), "-out", str(tmp_path / "certificate")],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + (tmp_path / "certificate").read_text())
    return file


@pytest.fixture
def tls_server(server: ObjectServer, certificate: Path) -> ObjectServer:
    server.encrypt(certificate)
    server.objects["m.onnx"] = padded(1000)
    return server


@pytest.fixture(autouse=True)
def _fresh_tls() -> None:
    trust._made.clear()


def test_a_trusted_server_is_read_over_tls(
    tls_server: ObjectServer, certificate: Path, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    files = fetch(f"https://localhost:{tls_server.port}/m.onnx")
    assert Path(files.path).read_bytes() == tls_server.objects["m.onnx"]


def test_the_certificates_of_the_authorities_are_read_once(
    tls_server: ObjectServer, certificate: Path, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    times = []

    def slowly(**given: Any) -> ssl.SSLContext:
        times.append(time.monotonic())
        time.sleep(0.2)
        return ssl.create_default_context(**given)

    monkeypatch.setattr(trust, "create_default_context", slowly)
    fetch(f"https://localhost:{tls_server.port}/m.onnx")
    assert len(times) == 1, "by the first of several connections, and the others wait"


@pytest.fixture
def folder(certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's certificates by hash: that of the server alone."""
    told = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(certificate)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    folder = tmp_path / "by hash"
    folder.mkdir()
    (folder / f"{told.stdout.strip()}.0").write_bytes(certificate.read_bytes())
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    return folder


def test_of_certificates_by_hash_no_more_is_read_than_is_needed(
    tls_server: ObjectServer, folder: Path, fetch: Fetch
) -> None:
    fetch(f"https://localhost:{tls_server.port}/m.onnx")
    assert list(trust._made) == [str(folder)]


def test_what_only_the_file_of_all_certificates_has_is_trusted_too(
    tls_server: ObjectServer, certificate: Path, folder: Path, fetch: Fetch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (other,) = folder.iterdir()
    other.rename(folder / "00000000.0")
    paths = trust.get_default_verify_paths()
    monkeypatch.setattr(trust, "get_default_verify_paths", lambda: paths)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # as if the system had this one
    fetch(f"https://localhost:{tls_server.port}/m.onnx")
    assert list(trust._made) == [str(folder), None]


def test_a_file_of_certificates_that_is_named_is_the_one(
    tls_server: ObjectServer, certificate: Path, folder: Path, fetch: Fetch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fetch(f"https://localhost:{tls_server.port}/m.onnx")
    assert list(trust._made) == [None]


def test_a_server_that_is_not_trusted_is_refused_at_the_last_try_too() -> None:
    outcomes = [OSError("gone")] * (ATTEMPTS - 1) + [Untrusted("expired")]

    def attempt() -> None:
        raise outcomes.pop(0)

    with pytest.raises(ModelNotLoaded, match="its server is not trusted: expired"):
        Reader(HttpsStore("https://h/m"), 1).retried("m", attempt, lambda _seconds: None)


def test_a_server_that_is_not_trusted_is_refused_at_once(
    tls_server: ObjectServer, fetch: Fetch
) -> None:
    with pytest.raises(ModelNotLoaded, match=r"its server is not trusted: .*CERTIFICATE_VERIFY"):
        fetch(f"https://localhost:{tls_server.port}/m.onnx")
