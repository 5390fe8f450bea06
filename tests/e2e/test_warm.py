"""Each way to keep a function warm, as far as the emulator goes: it copies no process."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cdk_inference.local import Deployment, Emulator, Reply, invoke

from tests.e2e.emulated import client

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = json.loads((ROOT / "models" / "digits" / "samples.json").read_text())[3]
ENVIRONMENTS = 3
# The emulator looks for due schedules every 10 seconds.
PATIENCE_S = 30


SNAPSHOTTED = "SnapStartStack-Snapshotted"
PROVISIONED = "ProvisionedStack-Provisioned"
KEPT_WARM = "KeepWarmStack-KeptWarm"


def alias(function: str) -> str:
    """The output that names its alias."""
    return f"{function.replace('-', '.')}AliasArn"


def predict(emulator: Emulator, function: str) -> Reply:
    body = json.dumps({"features": SAMPLE["pixels"]}).encode()
    return invoke(emulator, alias(function), body)


def assert_read_right(reply: Reply) -> None:
    assert reply.json()["predictions"]["label"] == SAMPLE["label"], reply.body


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def log(emulator: Emulator) -> str:
    return (emulator.folder / "emulator.log").read_text()


def environments(emulator: Emulator, function: str) -> int:
    return log(emulator).count(f"Lambda worker spawned for {function}")


def lines(emulator: Emulator, function: str) -> list[dict[str, Any]]:
    """What a function logged."""
    found: list[dict[str, Any]] = []
    is_its = False
    for line in log(emulator).splitlines():
        if line.startswith("{") and is_its:
            found.append(json.loads(line))
        elif not line.startswith("{"):
            is_its = f"Lambda {function}" in line
    return found


def test_a_copy_of_a_snapshot_reads_a_digit(deployment: Deployment) -> None:
    emulator = deployment.emulator
    # CloudFormation waits for the snapshot; the emulator's does not, and answers 409 till then.
    wait_for(lambda: predict(emulator, SNAPSHOTTED).status == 200)
    assert_read_right(predict(emulator, SNAPSHOTTED))
    messages = [line["message"] for line in lines(emulator, SNAPSHOTTED)]
    assert messages[:3] == ["ready", "restored", "request"]


def test_a_provisioned_function_reads_a_digit(deployment: Deployment) -> None:
    emulator = deployment.emulator
    assert_read_right(predict(emulator, PROVISIONED))
    outputs = deployment.outputs["ProvisionedStack"].items()
    (arn,) = (value for name, value in outputs if name.startswith("ProvisionedAliasArn"))
    function, _, qualifier = arn.rpartition(":")
    provisioned = client(emulator, "lambda").get_provisioned_concurrency_config(
        FunctionName=function, Qualifier=qualifier
    )
    assert provisioned["RequestedProvisionedConcurrentExecutions"] == 2


def test_its_scaling_is_left_out(deployment: Deployment) -> None:
    assert {omission.type for omission in deployment.left_out} >= {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
    }


@pytest.fixture
def called_once(deployment: Deployment) -> Emulator:
    """After the target of the stack's schedule was called by one that is due now."""
    emulator = deployment.emulator
    scheduler = client(emulator, "scheduler")
    (summary,) = scheduler.list_schedules()["Schedules"]
    schedule = scheduler.get_schedule(Name=summary["Name"])
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    # A schedule of its own: the emulator never fires one at a time that it has counted before.
    scheduler.create_schedule(
        Name="now",
        ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow=schedule["FlexibleTimeWindow"],
        Target=schedule["Target"],
    )
    wait_for(lambda: executions(emulator, schedule["Target"]["Arn"]) == ["SUCCEEDED"])
    return emulator


def executions(emulator: Emulator, workflow: str) -> list[str]:
    """The status of each time that a workflow was started."""
    answer = client(emulator, "stepfunctions").list_executions(stateMachineArn=workflow)
    return [execution["status"] for execution in answer["executions"]]


def test_warm_up_calls_reach_as_many_environments(called_once: Emulator) -> None:
    emulator = called_once
    assert environments(emulator, KEPT_WARM) == ENVIRONMENTS
    with ThreadPoolExecutor(ENVIRONMENTS) as pool:
        for reply in pool.map(lambda _: predict(emulator, KEPT_WARM), range(ENVIRONMENTS)):
            assert_read_right(reply)
    assert environments(emulator, KEPT_WARM) == ENVIRONMENTS, "nobody started cold"
    requests = [line for line in lines(emulator, KEPT_WARM) if line["message"] == "request"]
    assert [line["cold_start"] for line in requests] == [False] * ENVIRONMENTS
