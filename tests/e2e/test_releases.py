"""From one version to the next, as far as the emulator goes: it has no CodeDeploy."""

import json
import sys
from pathlib import Path

import pytest
from cdk_inference.local import Deployment, deploy, invoke, invoke_function
from rich.console import Console

from tests.e2e.emulated import client

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = json.loads((ROOT / "models" / "digits" / "samples.json").read_text())[3]
EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}

# The reference stack's second deployment.
COMPARED = f"""
import sys

sys.path.insert(0, {str(ROOT)!r})
import aws_cdk as cdk
from stacks.releases import ABRoutingStack

app = cdk.App(context={{"baseline": "1"}})
ABRoutingStack(app, "ABRoutingStack")
app.synth()
"""


@pytest.fixture
def hook(deployment: Deployment) -> str:
    functions = client(deployment.emulator, "lambda").list_functions()["Functions"]
    names = [function["FunctionName"] for function in functions]
    (name,) = (name for name in names if name.startswith("GradualReleaseStack-ReleaseSmoke"))
    return name


def test_the_new_version_answers_the_questions(deployment: Deployment, hook: str) -> None:
    reply = invoke_function(deployment.emulator, hook, json.dumps(EVENT).encode())
    assert "PutLifecycleEventHookExecutionStatus" in reply.json()["errorMessage"], reply.body
    log = (deployment.emulator.folder / "emulator.log").read_text()
    (summary,) = (json.loads(line) for line in log.splitlines() if '"smoke tests"' in line)
    assert (summary["tests"], summary["failed"]) == (3, 0)
    assert summary["version"].rpartition(":")[2] == "1"


def test_codedeploy_is_left_out(deployment: Deployment) -> None:
    unknown = {omission.type for omission in deployment.left_out if not omission.needs}
    assert unknown >= {"AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup"}


def model_version(deployment: Deployment, function: str) -> str:
    body = json.dumps({"features": SAMPLE["pixels"]}).encode()
    reply = invoke(deployment.emulator, function, body)
    assert reply.json()["predictions"]["label"] == SAMPLE["label"], reply.body
    return str(reply.json()["model_version"])


def test_two_deployments_make_two_versions_behind_one_alias(
    deployment: Deployment, tmp_path: Path
) -> None:
    assert model_version(deployment, "ABRoutingStack.ComparedAliasArn") == "baseline"
    app = tmp_path / "app.py"
    app.write_text(COMPARED)
    deployed = deploy(deployment.emulator, console=Console(), app=f"{sys.executable} {app}")
    (arn,) = (
        value
        for name, value in deployed.outputs["ABRoutingStack"].items()
        if name.startswith("ComparedAliasArn")
    )
    function, _, name = arn.rpartition(":")
    # The emulator draws no lots: it has version 1 answer everything.
    alias = client(deployment.emulator, "lambda").get_alias(FunctionName=function, Name=name)
    assert alias["FunctionVersion"] == "1"
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.2}}
    assert model_version(deployment, f"{function}:1") == "baseline"
    assert model_version(deployment, f"{function}:2") == "candidate"
