from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from aws_cdk import Duration, Size, Stack
from cdk_inference import (
    ConfigurationError,
    InferenceModel,
    KeepWarm,
    MLInferenceFunction,
    WarmStrategy,
)
from cdk_inference.testing import stable_template
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import (
    RECOMMENDED_FLAGS,
    construct_ids,
    new_stack,
    only_resource,
    synthesize,
)

NewKeeper = Callable[..., KeepWarm]


@pytest.fixture
def new_keeper(stack: Stack, model: InferenceModel) -> NewKeeper:
    def new(*, function: dict[str, Any] | None = None, **options: Any) -> KeepWarm:
        served = MLInferenceFunction(stack, "Scale", model=model, **(function or {}))
        return KeepWarm(stack, "KeepWarm", function=served, **({"environments": 3} | options))

    return new


def workflow(stack: Stack) -> dict[str, Any]:
    """The workflow's definition, with its references as ``<logical id>``."""
    machine = only_resource(synthesize(stack), "AWS::StepFunctions::StateMachine")
    _, parts = machine["DefinitionString"]["Fn::Join"]
    text = "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts)
    return cast(dict[str, Any], json.loads(text))


def test_minimal_template(new_keeper: NewKeeper, stack: Stack, snapshot: SnapshotAssertion) -> None:
    new_keeper()
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    strategy = WarmStrategy.keep_warm(
        environments=40, every=Duration.minutes(1), hold=Duration.seconds(2)
    )
    MLInferenceFunction(stack, "Scale", model=model, warm_strategy=strategy)
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_the_alias_is_called_on_each_environment_at_once(
    new_keeper: NewKeeper, stack: Stack
) -> None:
    new_keeper(hold=Duration.millis(750))
    calls = workflow(stack)["States"]["CallAll"]
    assert (calls["Type"], len(calls["Items"])) == ("Map", 3)
    assert "MaxConcurrency" not in calls
    call = calls["ItemProcessor"]["States"]["Call"]
    assert call["Resource"] == "arn:<AWS::Partition>:states:::lambda:invoke"
    assert call["Arguments"]["FunctionName"].startswith("<ScaleLive")
    assert call["Arguments"]["Payload"] == {"warmup": True, "hold_ms": 750}


def test_failed_starts_are_retried_and_kept(new_keeper: NewKeeper, stack: Stack) -> None:
    new_keeper(every=Duration.minutes(3))
    schedule = only_resource(synthesize(stack), "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "rate(3 minutes)"
    retries = {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 2}
    assert schedule["Target"]["RetryPolicy"] == retries
    assert "DeadLetterConfig" in schedule["Target"]


def test_what_it_costs(new_keeper: NewKeeper) -> None:
    keeper = new_keeper(function={"memory_size": Size.gibibytes(2)}, hold=Duration.seconds(1))
    # 8,760 rounds a month of 3 calls, each of 2 GB for 1 s; schedule and workflow are 3 cents.
    calls = 8760 * 3 * (2 * 0.0000166667 + 0.0000002)
    assert keeper.monthly_cost == pytest.approx(calls + 0.03, abs=0.01)


def test_it_goes_with_snap_start(new_keeper: NewKeeper) -> None:
    new_keeper(function={"warm_strategy": WarmStrategy.snap_start()})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"environments": 0}, "environments is 0; a Step Functions map makes 1 to 40 calls"),
        ({"environments": 41}, "environments is 41; a Step Functions map makes 1 to 40 calls"),
        (
            {"function": {"reserved_concurrency": 2}},
            "environments is 3; the function's reserved_concurrency is 2",
        ),
        ({"every": Duration.seconds(90)}, "every is 1.5 minutes"),
        ({"hold": Duration.seconds(11)}, "hold is 11000 ms"),
        ({"hold": Duration.seconds(2), "function": {"timeout": Duration.seconds(3)}}, "hold is 2"),
        (
            {"function": {"warm_strategy": WarmStrategy.keep_warm(environments=1)}},
            "Stack/Scale is kept warm by Stack/Scale/KeepWarm already",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(
    new_keeper: NewKeeper, stack: Stack, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        new_keeper(**options)
    (found,) = caught.value.problems
    assert found.startswith(problem)
    assert construct_ids(stack.node.find_child("KeepWarm")) == []


@given(environments=st.integers(-5, 60), reserved=st.none() | st.integers(1, 60))
def test_as_many_environments_as_the_workflow_and_the_function_take(
    environments: int, reserved: int | None
) -> None:
    from cdk_inference.aws.keep_warm import _check_environments
    from cdk_inference.validation import Problems

    problems = Problems("KeepWarm")
    _check_environments(environments, reserved, problems)
    if 1 <= environments <= min(40, reserved or 40):
        problems.raise_if_any()
    else:
        with pytest.raises(ConfigurationError):
            problems.raise_if_any()


def test_failures_can_be_watched(new_keeper: NewKeeper) -> None:
    assert new_keeper().metric_failed(statistic="Average").metric_name == "ExecutionsFailed"


def test_construct_ids_are_public(new_keeper: NewKeeper) -> None:
    assert construct_ids(new_keeper()) == [
        "WorkflowRole",
        "WorkflowLogs",
        "Workflow",
        "DeadLetterQueue",
        "SchedulerRole",
        "Schedule",
        "MonthlyCost",
    ]
