"""What watches a release, as far as the emulator goes: it has no CodeDeploy."""

import json
from typing import Any

import boto3
import pytest
from cdk_inference.local import Deployment, invoke_function

EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}


def client(deployment: Deployment, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=deployment.emulator.url,
        region_name="us-east-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="test",
    )


@pytest.fixture
def hook(deployment: Deployment) -> str:
    functions = client(deployment, "lambda").list_functions()["Functions"]
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
