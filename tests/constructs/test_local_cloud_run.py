"""Cloud Run services on this machine: what is read of a document, what runs, what is enforced."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cdk_inference.local import (
    LocalError,
    RunningService,
    container_process,
    running_service,
)
from cdk_inference.local.cloud_run_document import read_service
from cdk_inference.local.cloud_run_front import Front
from cdk_inference.local.processes import start_time

# A container that tells its environment at /, and each of its requests at the same time at /busy.
TELL = """
import http.server, json, os, sys, threading, time
from urllib.parse import urlsplit

busy, most, lock = 0, 0, threading.Lock()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global busy, most
        path = urlsplit(self.path).path
        if path == "/busy":
            with lock:
                busy += 1
                most = max(most, busy)
            time.sleep(0.2)
            with lock:
                busy -= 1
        if path == "/die":
            os._exit(3)
        told = {"environment": dict(os.environ), "folder": os.getcwd(), "most": most,
                "process": os.getpid(), "headers": dict(self.headers)}
        body = json.dumps(told).encode()
        ready = path != "/ready" or "NEVER_READY" not in os.environ
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("X-Length", str(len(body)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

print("started", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
PROBE = {"http_get": {"path": "/ready"}, "period_seconds": 1, "failure_threshold": 10}


def container(**values: Any) -> dict[str, Any]:
    return {
        "name": "main",
        "image": "elsewhere@sha256:12",
        "command": ["python3", "-c", TELL],
        "ports": {"container_port": 8765},
        "startup_probe": PROBE,
        **values,
    }


def write(folder: Path, *containers: dict[str, Any], **template: Any) -> Path:
    """A synthesized stack with one service in it, made by hand."""
    service = {
        "//": {"metadata": {"path": "Shop/Digits/Service"}},
        "name": "shop-digits",
        "template": {"containers": list(containers), **template},
    }
    document = {"resource": {"google_cloud_run_v2_service": {"Digits_Service": service}}}
    stack = folder / "cdktf.out" / "stacks" / "Shop"
    stack.mkdir(parents=True)
    (stack / "cdk.tf.json").write_text(json.dumps(document))
    return folder / "cdktf.out"


def run(assembly: Path, **options: Any) -> Any:
    folder = assembly.parent / "services"
    return running_service("Shop", "Digits", assembly=assembly, folder=folder, **options)


def get(url: str, path: str = "/", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def told(url: str, path: str = "/") -> dict[str, Any]:
    status, body = get(url, path)
    assert status == 200
    content: dict[str, Any] = json.loads(body)
    return content


# Reading


@pytest.mark.parametrize("name", ["Digits", "shop-digits"])
def test_a_service_is_found_by_its_construct_and_by_its_name(tmp_path: Path, name: str) -> None:
    assembly = write(tmp_path, container(), max_instance_request_concurrency=3, timeout="7s")
    service = read_service("Shop", name, assembly)
    assert (service.name, service.concurrency, service.timeout_seconds) == ("shop-digits", 3, 7)


def test_what_is_not_said_is_as_on_cloud_run(tmp_path: Path) -> None:
    service = read_service("Shop", "Digits", write(tmp_path, container(startup_probe=None)))
    assert (service.concurrency, service.timeout_seconds) == (80, 300)
    (only,) = service.containers
    assert only.probe is not None
    assert only.probe.path is None
    assert only.probe.failures * only.probe.period_seconds == 240


def test_containers_start_after_those_that_they_depend_on(tmp_path: Path) -> None:
    assembly = write(
        tmp_path,
        container(name="a", depends_on=["b", "c"]),
        container(name="b", depends_on=["c"]),
        container(name="c"),
    )
    service = read_service("Shop", "Digits", assembly)
    assert [one.name for one in service.containers] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("stack", "service", "message"),
    [
        ("Nothing", "Digits", "There is no stack Nothing in .*; it has Shop"),
        ("Shop", "Nothing", "no Cloud Run service Nothing; it has Digits, shop-digits"),
    ],
)
def test_an_unknown_name_is_told_with_those_there_are(
    tmp_path: Path, stack: str, service: str, message: str
) -> None:
    assembly = write(tmp_path, container())
    with pytest.raises(LocalError, match=message):
        read_service(stack, service, assembly)


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        ([container(command=[])], "The container main has no command"),
        ([container(depends_on=["main"])], "containers main wait for each other"),
        ([container(depends_on=["gone"])], "or for one that is not there"),
    ],
)
def test_what_cannot_be_run_is_told(
    tmp_path: Path, containers: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(LocalError, match=message):
        read_service("Shop", "Digits", write(tmp_path, *containers))


# Running


def test_a_container_gets_its_environment_and_nothing_of_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLERS_OWN", "1")
    variables = [
        {"name": "MINE", "value": "x"},
        {"name": "KEY", "value_source": {"secret_key_ref": {"secret": "key", "version": "1"}}},
    ]
    assembly = write(tmp_path, container(env=variables))
    with run(assembly, secrets={"KEY": "hidden"}) as service:
        environment = told(service.url)["environment"]
    home = tmp_path / "services" / "shop-digits"
    assert environment.pop("PATH").startswith(f"{home / 'bin'}:")
    assert environment.pop("PORT")
    environment.pop("LC_CTYPE", None)  # Python's own, where there is no locale
    assert environment == {
        "HOME": str(home),
        "K_SERVICE": "shop-digits",
        "K_REVISION": "shop-digits-local",
        "K_CONFIGURATION": "shop-digits",
        "MINE": "x",
        "KEY": "hidden",
    }


def test_a_container_gets_its_port_or_is_told_of_another(tmp_path: Path) -> None:
    assembly = write(tmp_path, container())
    elsewhere = tmp_path / "elsewhere"
    with (
        run(assembly) as first,
        running_service("Shop", "Digits", assembly=assembly, folder=elsewhere) as second,
    ):
        ports = [told(one.url)["environment"]["PORT"] for one in (first, second)]
    assert ports[0] == "8765" or first.notes
    (note,) = second.notes
    assert note == f"Port 8765 of main is taken on this machine: PORT is {ports[1]}."


def test_a_volume_is_a_folder_that_containers_share(tmp_path: Path) -> None:
    mounts = [{"name": "models", "mount_path": "/mnt/models"}]
    variables = [
        {"name": "FOLDER", "value": "/mnt/models"},
        {"name": "FILE", "value": "/mnt/models/a"},
        {"name": "OTHER", "value": "/mnt/models-not"},
    ]
    write_it = "open(__import__('os').environ['FILE'], 'w').write('shared')"
    assembly = write(
        tmp_path,
        container(env=variables, volume_mounts=mounts, depends_on=["writer"]),
        container(
            name="writer",
            command=["python3", "-c", f"{write_it}; import time; time.sleep(60)"],
            env=variables,
            volume_mounts=mounts,
            ports=None,
            startup_probe=None,
        ),
        volumes=[{"name": "models", "empty_dir": {"medium": "MEMORY"}}],
    )
    with run(assembly) as service:
        environment = told(service.url)["environment"]
        folder = Path(environment["FOLDER"])
        assert (environment["FILE"], environment["OTHER"]) == (f"{folder}/a", "/mnt/models-not")
        deadline = time.monotonic() + 10
        while not (folder / "a").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (folder / "a").read_text() == "shared"


def test_requests_reach_the_container_whole(tmp_path: Path) -> None:
    with run(write(tmp_path, container())) as service:
        reply = service.post("/predict?x=1", b"0123456789")
        headers = told(service.url)["headers"]
    assert (reply.status, reply.body) == (201, b"0123456789")
    assert "Host" in headers


def test_a_secret_without_a_value_is_asked_for(tmp_path: Path) -> None:
    secret = {"name": "KEY", "value_source": {"secret_key_ref": {"secret": "key", "version": "1"}}}
    with pytest.raises(LocalError, match="main gets KEY from Secret Manager"):
        run(write(tmp_path, container(env=[secret]))).__enter__()


def test_a_container_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    assembly = write(tmp_path, container(command=["python3", "-c", "raise SystemExit('no model')"]))
    with pytest.raises(LocalError) as caught:
        run(assembly).__enter__()
    assert "main ended with exit code 1" in str(caught.value)
    assert "no model" in str(caught.value)
    assert "does not build its image, elsewhere@sha256:12" in str(caught.value)


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    assembly = write(tmp_path, container(command=["no-such-program"]))
    with pytest.raises(LocalError, match="cannot run 'no-such-program'"):
        run(assembly).__enter__()


def test_the_startup_probe_gives_up_when_cloud_run_would(tmp_path: Path) -> None:
    never = [{"name": "NEVER_READY", "value": "1"}]
    probe = {**PROBE, "failure_threshold": 2}
    assembly = write(tmp_path, container(env=never, startup_probe=probe))
    started = time.monotonic()
    with pytest.raises(LocalError, match="main was not ready after 2 s"):
        run(assembly).__enter__()
    assert 2 <= time.monotonic() - started < 5


def check_for(seconds: float, service: RunningService) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        service.check()
        time.sleep(0.05)


def test_a_container_that_dies_later_is_noticed(tmp_path: Path) -> None:
    with run(write(tmp_path, container())) as service:
        service.check()
        assert get(service.url, "/die")[0] == 503
        with pytest.raises(LocalError, match="main ended with exit code 3"):
            check_for(10, service)


def test_nothing_runs_on_afterwards(tmp_path: Path) -> None:
    with run(write(tmp_path, container())) as service:
        process = told(service.url)["process"]
        assert start_time(process)
    deadline = time.monotonic() + 5
    while start_time(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert start_time(process) is None


# The front


class Busy(BaseHTTPRequestHandler):
    """Counts the requests that it has at the same time; /slow takes long."""

    protocol_version = "HTTP/1.1"
    now = most = 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        with self.lock:
            type(self).now += 1
            type(self).most = max(self.most, self.now)
        time.sleep(1.5 if self.path == "/slow" else 0.1)
        with self.lock:
            type(self).now -= 1
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def instance() -> Any:
    Busy.now = Busy.most = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def statuses(front: Front, *paths: str) -> list[int]:
    with ThreadPoolExecutor(len(paths)) as threads:
        return list(threads.map(lambda path: get(f"127.0.0.1:{front.port}", path)[0], paths))


def test_no_more_requests_at_once_than_the_service_allows(instance: int) -> None:
    front = Front(instance, concurrency=3, timeout_seconds=10)
    assert statuses(front, *["/"] * 12) == [200] * 12
    front.close()
    assert Busy.most == 3


def test_who_waits_too_long_is_sent_away(instance: int) -> None:
    front = Front(instance, concurrency=1, timeout_seconds=10, queue_seconds=0.3)
    assert sorted(statuses(front, "/slow", "/slow")) == [200, 429]
    front.close()


def test_who_takes_too_long_is_cut_off(instance: int) -> None:
    front = Front(instance, concurrency=1, timeout_seconds=0.5)
    assert statuses(front, "/slow") == [504]
    front.close()


def test_without_an_instance_the_service_is_unavailable() -> None:
    front = Front(1, concurrency=1, timeout_seconds=1)
    assert statuses(front, "/") == [503]
    front.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Length": str(33 * 2**20)}, 413), ({"Transfer-Encoding": "chunked"}, 411)],
)
def test_a_body_that_does_not_fit_is_refused(
    instance: int, headers: dict[str, str], status: int
) -> None:
    front = Front(instance, concurrency=1, timeout_seconds=1)
    assert get(f"127.0.0.1:{front.port}", "/", **headers)[0] == status
    front.close()


START_AND_SLEEP = """
import subprocess, sys, time
command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
subprocess.Popen(
    [sys.executable, "-I", sys.argv[1], *command], stdin=subprocess.PIPE, start_new_session=True
)
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_containers_process_ends_even_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_SLEEP, container_process.__file__],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


# Several containers

TELL_AT = TELL.replace('os.environ["PORT"]', 'os.environ["OWN_PORT"]')


def sidecar(name: str, port: int, **values: Any) -> dict[str, Any]:
    """One that is no target of requests, and is asked on a port of its own."""
    return {
        "name": name,
        "image": "elsewhere@sha256:12",
        "command": ["python3", "-c", TELL_AT],
        "startup_probe": {**PROBE, "http_get": {"path": "/ready", "port": port}},
        **values,
        "env": [{"name": "OWN_PORT", "value": str(port)}, *values.get("env", ())],
    }


def test_containers_find_each_other_where_their_ports_are_here(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        variables = [
            {"name": "BESIDE", "value": f"http://localhost:{port}/a and 0.0.0.0:{port}"},
            {"name": "BESIDE_PORT", "value": str(port)},
            {"name": "OTHER", "value": f"elsewhere.example.org:{port}"},
            {"name": "PORTION", "value": str(port)},
        ]
        assembly = write(
            tmp_path, container(env=variables, depends_on=["beside"]), sidecar("beside", port)
        )
        with run(assembly) as service:
            environment = told(service.url)["environment"]
            here = environment["BESIDE_PORT"]
            assert told(f"http://127.0.0.1:{here}")["environment"]["OWN_PORT"] == here
    assert here != str(port)
    assert environment["BESIDE"] == f"http://localhost:{here}/a and 127.0.0.1:{here}"
    assert environment["OTHER"] == f"elsewhere.example.org:{port}"
    assert environment["PORTION"] == str(port)
    assert any(f"Port {port} of beside is taken" in note for note in service.notes)


def test_one_that_is_not_ready_keeps_those_after_it_from_starting(tmp_path: Path) -> None:
    never = [{"name": "NEVER_READY", "value": "1"}]
    probe = {**PROBE, "http_get": {"path": "/ready", "port": 8766}, "failure_threshold": 1}
    assembly = write(
        tmp_path,
        container(depends_on=["beside"]),
        sidecar("beside", 8766, env=never) | {"startup_probe": probe},
    )
    with pytest.raises(LocalError, match="beside was not ready after 1 s"):
        run(assembly).__enter__()
    assert not (tmp_path / "services" / "shop-digits" / "main.log").exists()


def test_a_secret_can_be_a_file(tmp_path: Path) -> None:
    volume = {
        "name": "tls",
        "secret": {"secret": "certificate", "items": [{"path": "tls.crt", "version": "1"}]},
    }
    mounts = [{"name": "tls", "mount_path": "/mnt/tls"}]
    variables = [{"name": "TEXT", "value": "read /mnt/tls/tls.crt; then /mnt/tls-not"}]
    assembly = write(tmp_path, container(env=variables, volume_mounts=mounts), volumes=[volume])
    with pytest.raises(LocalError, match="give a value, as in `--secret certificate=@FILE`"):
        run(assembly).__enter__()
    with run(assembly, secrets={"certificate": "pem"}) as service:
        text = told(service.url)["environment"]["TEXT"]
    file = Path(text.split()[1].rstrip(";"))
    assert file.read_text() == "pem"
    assert text.endswith("then /mnt/tls-not")


def test_a_bucket_has_what_the_stack_puts_there_mounted_and_to_fetch(tmp_path: Path) -> None:
    bucket = "${google_storage_bucket_object.Model-1_AB.bucket}"
    assembly = write(
        tmp_path,
        container(
            env=[{"name": "URI", "value": f"gs://{bucket}/a/model.onnx"}],
            volume_mounts=[{"name": "models", "mount_path": "/mnt/models"}],
        ),
        volumes=[{"name": "models", "gcs": {"bucket": bucket, "read_only": True}}],
    )
    file = assembly / "stacks" / "Shop" / "cdk.tf.json"
    document = json.loads(file.read_text())
    document["resource"]["google_storage_bucket"] = {
        "Models_12": {"name": "${data.google_client_config.Client_1.project}-models"}
    }
    document["resource"]["google_storage_bucket_object"] = {
        "Model-1_AB": {
            "bucket": "${google_storage_bucket.Models_12.name}",
            "name": "a/model.onnx",
            "source": "assets/model.onnx",
        }
    }
    file.write_text(json.dumps(document))
    (file.parent / "assets").mkdir()
    (file.parent / "assets" / "model.onnx").write_bytes(b"0123456789")
    with run(assembly) as service:
        environment = told(service.url)["environment"]
        assert environment["URI"] == "gs://project-models/a/model.onnx"
        store = environment["STORAGE_EMULATOR_HOST"]
        path = "/storage/v1/b/project-models/o/a%2Fmodel.onnx?alt=media"
        assert get(store, path) == (200, b"0123456789")
        assert get(store, path, Range="bytes=2-4") == (206, b"234")
        assert get(store, path, Range="bytes=8-99") == (206, b"89")
        assert get(store, path, Range="bytes=10-")[0] == 416
        assert get(store, path.replace("model.onnx", "gone.onnx"))[0] == 404
    home = tmp_path / "services" / "shop-digits"
    assert (home / "volumes" / "models" / "a" / "model.onnx").read_bytes() == b"0123456789"
    assert service.notes == () or "taken" in service.notes[0]


def test_a_bucket_that_the_stack_does_not_fill_is_told(tmp_path: Path) -> None:
    volume = {"name": "models", "gcs": {"bucket": "my-models"}}
    with run(write(tmp_path, container(), volumes=[volume])) as service:
        assert any("puts nothing into the bucket my-models" in note for note in service.notes)
