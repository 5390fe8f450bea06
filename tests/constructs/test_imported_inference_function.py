"""A function of another app, found by the ARN of its alias, and what can be made around it."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Fn, Size, Stack
from aws_cdk import aws_applicationautoscaling as appscaling
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Annotations, Match, Template
from cdk_inference import (
    ConfigurationError,
    InferenceFunction,
    InferenceHttpApi,
    InferenceModel,
    KeepWarm,
    MLInferenceFunction,
    ProvisionedWarmPool,
    WarmSchedule,
)

from tests.constructs.synthesis import only_resource, synthesize

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:digits"
ALIAS_ARN = f"{FUNCTION_ARN}:live"


def look_up(stack: Stack, arn: str = ALIAS_ARN, **known: Any) -> InferenceFunction:
    return MLInferenceFunction.from_alias_arn(stack, "Digits", arn, **known)


def test_it_is_found_and_not_made(stack: Stack) -> None:
    log_group = logs.LogGroup.from_log_group_name(stack, "Logs", "/mine")
    function = look_up(
        stack,
        log_group=log_group,
        memory_size=Size.gibibytes(2),
        timeout=Duration.seconds(9),
        reserved_concurrency=3,
        architecture=lambda_.Architecture.ARM_64,
    )
    assert (function.function.function_arn, function.alias.function_arn) == (
        FUNCTION_ARN,
        ALIAS_ARN,
    )
    assert (function.alias_name, function.title) == ("live", "digits")
    assert function.log_group is log_group
    assert function.memory_size is not None
    assert function.memory_size.to_gibibytes() == 2
    assert function.timeout is not None
    assert function.timeout.to_seconds() == 9
    assert function.reserved_concurrency == 3
    assert function.function.architecture.name == "arm64"
    assert "Resources" not in Template.from_stack(stack).to_json()


def test_metrics_are_those_of_the_alias(stack: Stack, model: InferenceModel) -> None:
    function = look_up(stack)
    for metric in (
        function.metric("PostRuntimeExtensionsDuration"),
        function.metric_invocations(),
        function.metric_errors(),
        function.metric_duration(),
        function.metric_throttles(),
    ):
        assert metric.dimensions == {"FunctionName": "digits", "Resource": "digits:live"}
    assert function.metric_errors(dimensions_map={"FunctionName": "a"}).dimensions == {
        "FunctionName": "a"
    }


@pytest.mark.parametrize(
    ("account", "known", "calls"),
    [
        (None, {}, 0),
        (None, {"same_environment": True}, 2),
        ("123456789012", {}, 2),
        ("210987654321", {}, 0),
    ],
)
def test_an_api_may_call_it_where_it_is_of_the_same_account(
    account: str | None, known: dict[str, Any], calls: int
) -> None:
    env = Environment(account=account, region="us-east-1") if account else None
    stack = Stack(App(), "Stack", env=env)
    InferenceHttpApi(stack, "Api", handler=look_up(stack, **known).alias)
    permissions = Template.from_stack(stack).find_resources("AWS::Lambda::Permission").values()
    assert [p["Properties"]["FunctionName"] for p in permissions] == [ALIAS_ARN] * calls
    without_effect = Match.string_like_regexp("addPermission.. has no effect")
    warned = Annotations.from_stack(stack).find_warning("*", without_effect)
    assert bool(warned) == (calls == 0)


def test_grant_invoke_allows_the_alias_only(stack: Stack) -> None:
    user = iam.User(stack, "Caller")
    look_up(stack).grant_invoke(user)
    (statement,) = only_resource(synthesize(stack), "AWS::IAM::Policy")["PolicyDocument"][
        "Statement"
    ]
    assert (statement["Action"], statement["Resource"]) == ("lambda:InvokeFunction", ALIAS_ARN)


def test_an_arn_known_at_deploy_only(stack: Stack) -> None:
    function = look_up(stack, Fn.import_value("DigitsAlias"))
    split = {"Fn::Split": [":", {"Fn::ImportValue": "DigitsAlias"}]}
    assert stack.resolve(function.alias_name) == {"Fn::Select": [7, split]}
    ProvisionedWarmPool(stack, "Pool", function=function, min_capacity=1, max_capacity=2)
    synthesize(stack)


@pytest.mark.parametrize(
    "arn",
    [
        "digits",
        FUNCTION_ARN,
        f"{FUNCTION_ARN}:7",
        f"{FUNCTION_ARN}:$LATEST",
        "arn:aws:sqs:us-east-1:123456789012:live",
        "",
    ],
)
def test_what_is_no_alias_is_refused(stack: Stack, arn: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        look_up(stack, arn)
    (problem,) = caught.value.problems
    assert problem.startswith(f"alias_arn is {arn!r}; an alias has arn:aws:lambda:REGION:")


def test_a_pool_starts_at_the_next_full_hour(stack: Stack) -> None:
    function = look_up(stack, memory_size=Size.gibibytes(2))
    pool = ProvisionedWarmPool(stack, "Pool", function=function, min_capacity=2, max_capacity=5)
    target = only_resource(synthesize(stack), "AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["ResourceId"] == "function:digits:live"
    (start,) = target["ScheduledActions"]
    assert start["Schedule"] == "cron(0 * * * ? *)"
    assert start["ScalableTargetAction"] == {"MinCapacity": 2, "MaxCapacity": 5}
    assert pool.metric_spillover().dimensions == {
        "FunctionName": "digits",
        "Resource": "digits:live",
    }
    assert pool.monthly_cost_at_min == pytest.approx(2 * 21.90, abs=0.01)


def test_a_pool_with_schedules_starts_by_them(stack: Stack) -> None:
    morning = WarmSchedule("Morning", appscaling.Schedule.cron(hour="8"), min_capacity=3)
    pool = ProvisionedWarmPool(
        stack,
        "Pool",
        function=look_up(stack),
        min_capacity=1,
        max_capacity=5,
        schedules=[morning],
    )
    target = only_resource(synthesize(stack), "AWS::ApplicationAutoScaling::ScalableTarget")
    assert [action["ScheduledActionName"] for action in target["ScheduledActions"]] == ["Morning"]
    assert pool.monthly_cost_at_min is None, "the memory is not known"


def test_what_is_known_of_it_is_checked(stack: Stack) -> None:
    function = look_up(stack, reserved_concurrency=3, timeout=Duration.seconds(2))
    with pytest.raises(ConfigurationError, match="reserved_concurrency is 3"):
        ProvisionedWarmPool(stack, "Pool", function=function, min_capacity=1, max_capacity=5)
    with pytest.raises(ConfigurationError, match="hold is 1500 ms"):
        KeepWarm(stack, "Keeper", function=function, environments=1, hold=Duration.millis(1500))


def test_it_is_kept_warm_once(stack: Stack) -> None:
    function = look_up(stack)
    keeper = KeepWarm(stack, "Keeper", function=function, environments=2)
    assert keeper.monthly_cost is None, "the memory is not known"
    machine = only_resource(synthesize(stack), "AWS::StepFunctions::StateMachine")
    assert ALIAS_ARN in str(machine["DefinitionString"])
    with pytest.raises(ConfigurationError, match="Stack/Digits is kept warm by Stack/Keeper"):
        ProvisionedWarmPool(stack, "Pool", function=function, min_capacity=1, max_capacity=2)


def test_it_is_kept_warm_from_where_it_is() -> None:
    elsewhere = Stack(App(), "Stack", env=Environment(region="eu-west-1", account="210987654321"))
    function = look_up(elsewhere)
    with pytest.raises(ConfigurationError) as caught:
        ProvisionedWarmPool(elsewhere, "Pool", function=function, min_capacity=1, max_capacity=2)
    region, account = caught.value.problems
    assert region.startswith("the function is in region us-east-1; this stack is in eu-west-1")
    assert account.startswith("the function is in account 123456789012")
    with pytest.raises(ConfigurationError, match="the function is in region us-east-1"):
        KeepWarm(elsewhere, "Keeper", function=function, environments=1)
    there = Stack(App(), "Stack", env=Environment(region="us-east-1", account="123456789012"))
    ProvisionedWarmPool(there, "Pool", function=look_up(there), min_capacity=1, max_capacity=2)
