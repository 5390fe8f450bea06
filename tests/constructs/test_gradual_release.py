from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from aws_cdk import CfnParameter, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from cdk_inference import (
    ConfigurationError,
    GradualRelease,
    InferenceModel,
    MLInferenceFunction,
    SmokeTest,
    WarmStrategy,
)
from cdk_inference.artifact import hook_archive
from cdk_inference.contract import AWS_CODEDEPLOY_HANDLER, SMOKE_TESTS_FILE
from cdk_inference.testing import stable_template
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import (
    RECOMMENDED_FLAGS,
    construct_ids,
    new_stack,
    only_logical_id,
    only_resource,
    synthesize,
)

TEST = SmokeTest({"features": [1, 2, 3]}, {"predictions": 6.0}, tolerance=0.01)
CANARY = codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES
ALL_AT_ONCE = codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE
NewRelease = Callable[..., GradualRelease]


@pytest.fixture
def new_release(stack: Stack, model: InferenceModel) -> NewRelease:
    def new(*, function: dict[str, Any] | None = None, **options: Any) -> GradualRelease:
        served = MLInferenceFunction(stack, "Scale", model=model, **(function or {}))
        return GradualRelease(stack, "Release", function=served, **options)

    return new


def released(stack: Stack) -> dict[str, Any]:
    """What is made around the function, and the alias."""
    resources = stable_template(stack)["Resources"]
    alias = "ScaleLive"
    return {name: resources[name] for name in resources if name.startswith(("Release", alias))}


def test_minimal_template(
    new_release: NewRelease, stack: Stack, snapshot: SnapshotAssertion
) -> None:
    new_release()
    synthesize(stack)
    assert released(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    function = MLInferenceFunction(stack, "Scale", model=model)
    throttles = function.metric_throttles()
    GradualRelease(
        stack,
        "Release",
        function=function,
        deployment_config=codedeploy.LambdaDeploymentConfig(
            stack,
            "Config",
            traffic_routing=codedeploy.TimeBasedLinearTrafficRouting(
                interval=Duration.minutes(2), percentage=25
            ),
        ),
        smoke_tests=[TEST],
        max_error_rate=0,
        max_latency=Duration.millis(150),
        alarms=[throttles.create_alarm(stack, "Throttled", threshold=1, evaluation_periods=1)],
    )
    synthesize(stack)
    assert released(stack) == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (None, "CodeDeployDefault.LambdaLinear10PercentEvery1Minute"),
        (CANARY, "CodeDeployDefault.LambdaCanary10Percent5Minutes"),
    ],
)
def test_an_update_of_the_alias_is_a_deployment(
    new_release: NewRelease, stack: Stack, config: Any, name: str
) -> None:
    new_release(deployment_config=config, smoke_tests=[TEST])
    template = synthesize(stack)
    group = only_resource(template, "AWS::CodeDeploy::DeploymentGroup")
    assert group["DeploymentConfigName"] == name
    (alias,) = template.find_resources("AWS::Lambda::Alias").values()
    policy = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert policy["DeploymentGroupName"]["Ref"] == only_logical_id(
        template, "AWS::CodeDeploy::DeploymentGroup"
    )
    assert policy["BeforeAllowTrafficHook"]["Ref"].startswith("ReleaseSmokeTestsFunction")
    for first in ("ReleasePolicy", "ReleaseDeploymentGroup"):
        assert any(name.startswith(first) for name in alias["DependsOn"])


def test_alarms_of_the_new_version_roll_back(new_release: NewRelease, stack: Stack) -> None:
    release = new_release(max_error_rate=0.05)
    template = synthesize(stack)
    group = only_resource(template, "AWS::CodeDeploy::DeploymentGroup")
    assert group["AlarmConfiguration"]["Enabled"] is True
    assert len(group["AlarmConfiguration"]["Alarms"]) == 2
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    version = {"Fn::GetAtt": [only_logical_id(template, "AWS::Lambda::Version"), "Version"]}
    errors = stack.resolve(release.error_alarm.node.default_child.metrics)  # type: ignore[union-attr]
    dimensions = errors[1]["metricStat"]["metric"]["dimensions"]
    assert {"name": "ExecutedVersion", "value": version} in dimensions
    assert stack.resolve(release.error_alarm.node.default_child.threshold) == 0.05  # type: ignore[union-attr]


def test_the_latency_is_half_the_timeout_unless_told(new_release: NewRelease, stack: Stack) -> None:
    new_release(function={"timeout": Duration.seconds(9)})
    (latency,) = (
        alarm["Properties"]
        for alarm in synthesize(stack).find_resources("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == "Duration"
    )
    assert (latency["Threshold"], latency["ExtendedStatistic"]) == (4500, "p99")
    assert (latency["DatapointsToAlarm"], latency["EvaluationPeriods"]) == (2, 3)


def test_codedeploy_may_move_this_alias_and_call_the_hook(
    new_release: NewRelease, stack: Stack
) -> None:
    new_release(smoke_tests=[TEST])
    template = synthesize(stack)
    roles = template.find_resources(
        "AWS::IAM::Role",
        {
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Statement": [{"Principal": {"Service": "codedeploy.amazonaws.com"}}]
                }
            }
        },
    )
    (role,) = roles.values()
    assert "ManagedPolicyArns" not in role["Properties"]
    (policy,) = (
        resource["Properties"]["PolicyDocument"]["Statement"]
        for name, resource in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("ReleasePolicy")
    )
    moves, alarms, hook = policy
    function = moves["Resource"][0]
    assert function["Fn::GetAtt"][0].startswith("ScaleFunction")
    assert moves["Resource"] == [function, {"Fn::Join": ["", [function, ":live"]]}]
    assert alarms["Action"] == "cloudwatch:DescribeAlarms"
    assert hook["Action"] == "lambda:InvokeFunction"
    assert hook["Resource"]["Fn::GetAtt"][0].startswith("ReleaseSmokeTestsFunction")


def test_the_hook_knows_the_new_version_and_may_ask_and_report(
    new_release: NewRelease, stack: Stack
) -> None:
    new_release(smoke_tests=[TEST])
    template = synthesize(stack)
    (hook,) = (
        resource["Properties"]
        for name, resource in template.find_resources("AWS::Lambda::Function").items()
        if name.startswith("ReleaseSmokeTests")
    )
    version = only_logical_id(template, "AWS::Lambda::Version")
    assert hook["Environment"]["Variables"] == {"SMOKE_TEST_TARGET": {"Ref": version}}
    (statements,) = (
        resource["Properties"]["PolicyDocument"]["Statement"]
        for name, resource in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("ReleaseSmokeTests")
    )
    assert {action for s in statements for action in _list(s["Action"])} == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "lambda:InvokeFunction",
        "codedeploy:PutLifecycleEventHookExecutionStatus",
    }
    assert not any(resource == "*" for s in statements for resource in _list(s["Resource"]))


def test_the_hook_has_its_questions_with_it() -> None:
    path = hook_archive('[{"request": 1}]').path
    with ZipFile(path) as archive:
        assert json.loads(archive.read(SMOKE_TESTS_FILE)) == [{"request": 1}]
        assert "inference_runtime/adapters/aws_codedeploy.py" in archive.namelist()
    assert hook_archive("[]").path != path


def test_the_hook_starts_with_the_standard_library_alone() -> None:
    module = AWS_CODEDEPLOY_HANDLER.rpartition(".")[0]
    code = f"import sys; sys.path.insert(0, {str(hook_archive('[]').path)!r}); import {module}"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_without_questions_there_is_no_hook(new_release: NewRelease, stack: Stack) -> None:
    assert new_release().hook is None
    (alias,) = synthesize(stack).find_resources("AWS::Lambda::Alias").values()
    policy = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert "BeforeAllowTrafficHook" not in policy


def test_a_rate_known_at_deploy_only(new_release: NewRelease, stack: Stack) -> None:
    rate = CfnParameter(stack, "Rate", type="Number").value_as_number
    release = new_release(max_error_rate=rate)
    alarm = release.error_alarm.node.default_child
    assert stack.resolve(alarm.threshold) == {"Ref": "Rate"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_error_rate": 1}, "max_error_rate is 1; it is a share, from 0 to below 1"),
        ({"max_error_rate": -0.1}, "max_error_rate is -0.1"),
        ({"smoke_tests": [SmokeTest({}, {})]}, "smoke_tests[0].answer is empty"),
        (
            {"smoke_tests": [TEST, SmokeTest({}, {"a": 1}, tolerance=-1)]},
            "smoke_tests[1].tolerance is -1",
        ),
        (
            {"smoke_tests": [SmokeTest({"features": np.zeros(3)}, {"a": 1})]},
            "smoke_tests[0] is no JSON (Object of type ndarray is not JSON serializable)",
        ),
        (
            {"smoke_tests": [SmokeTest({}, {"a": float("nan")})]},
            "smoke_tests[0] is no JSON (Out of range float values",
        ),
        (
            {"smoke_tests": [SmokeTest({"a": "a" * 7 * 2**20}, {"a": 1})]},
            "smoke_tests[0].request has 7.0 MB; Lambda takes 6",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(
    new_release: NewRelease, stack: Stack, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        new_release(**options)
    (found,) = caught.value.problems
    assert found.startswith(problem)
    assert construct_ids(stack.node.find_child("Release")) == []


def test_codedeploy_watches_ten_alarms(new_release: NewRelease, stack: Stack) -> None:
    def alarm(index: int) -> cloudwatch.IAlarm:
        return cloudwatch.Alarm.from_alarm_arn(
            stack, f"A{index}", f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:a{index}"
        )

    with pytest.raises(ConfigurationError, match="alarms are 9; CodeDeploy watches 10"):
        new_release(alarms=[alarm(index) for index in range(9)])


def test_a_timeout_known_at_deploy_only_needs_a_latency(
    new_release: NewRelease, stack: Stack
) -> None:
    timeout = Duration.seconds(CfnParameter(stack, "Timeout", type="Number").value_as_number)
    with pytest.raises(ConfigurationError, match="max_latency is not given"):
        new_release(function={"timeout": timeout})
    GradualRelease(
        stack,
        "Told",
        function=stack.node.find_child("Scale"),  # type: ignore[arg-type]
        max_latency=Duration.seconds(1),
    )
    synthesize(stack)


def test_a_function_of_another_app_or_stack_is_refused(stack: Stack, model: InferenceModel) -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:digits:live"
    theirs: Any = MLInferenceFunction.from_alias_arn(stack, "Theirs", arn)
    with pytest.raises(ConfigurationError, match="Stack/Theirs was looked up"):
        GradualRelease(stack, "A", function=theirs)
    function = MLInferenceFunction(Stack(stack.node.root, "Other"), "Scale", model=model)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="Other/Scale is in another stack"):
        GradualRelease(stack, "B", function=function)


def test_one_release_at_a_time(new_release: NewRelease, stack: Stack) -> None:
    release = new_release()
    function: Any = stack.node.find_child("Scale")
    assert function.release is release
    with pytest.raises(ConfigurationError, match="are directed by Stack/Release already"):
        GradualRelease(stack, "Another", function=function)


PROVISIONED = {"warm_strategy": WarmStrategy.provisioned(min=1, max=2)}


def test_steps_with_provisioned_concurrency_are_refused_at_synth(
    new_release: NewRelease, stack: Stack
) -> None:
    new_release(function=PROVISIONED)
    with pytest.raises(RuntimeError, match="ALL_AT_ONCE, which still runs the smoke tests"):
        synthesize(stack)


def test_provisioned_concurrency_is_released_all_at_once(
    new_release: NewRelease, stack: Stack
) -> None:
    new_release(function=PROVISIONED, deployment_config=ALL_AT_ONCE, smoke_tests=[TEST])
    synthesize(stack)


@given(rate=st.floats(0, 1, exclude_max=True))
def test_every_share_is_allowed(rate: float) -> None:
    from cdk_inference.aws.gradual_release import _check_error_rate
    from cdk_inference.validation import Problems

    problems = Problems("Release")
    _check_error_rate(rate, problems)
    problems.raise_if_any()


def test_construct_ids_are_public(new_release: NewRelease) -> None:
    release = new_release(smoke_tests=[TEST])
    assert construct_ids(release) == [
        "ErrorAlarm",
        "LatencyAlarm",
        "SmokeTests",
        "Role",
        "Application",
        "ImmutableRoleRole",
        "DeploymentGroup",
        "Policy",
    ]
    assert construct_ids(release.node.find_child("SmokeTests")) == ["LogGroup", "Role", "Function"]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
