"""A new version gets its traffic step by step, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jsii
from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from cdk_inference.aws.executed_version import ExecutedVersion
from cdk_inference.aws.nag import acknowledge
from cdk_inference.aws.provisioned_warm_pool import ProvisionedWarmPool
from cdk_inference.aws.release import check_alias
from cdk_inference.aws.smoke_test import SmokeTestHook, check_smoke_tests
from cdk_inference.aws.tokens import are_known
from cdk_inference.limits import CODE_DEPLOY_ALARMS
from cdk_inference.validation import Problems
from constructs import Construct, IValidation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.aws.smoke_test import SmokeTest

_OWN_ALARMS: Final = 2
_ALL_AT_ONCE: Final = "CodeDeployDefault.LambdaAllAtOnce"


class GradualRelease(Construct):
    """AWS CodeDeploy moves the alias ``live`` to a new version step by step, and back if it must.

    First it has the version asked ``smoke_tests``; a wrong answer ends the deployment before any
    caller notices. Then traffic moves as ``deployment_config`` says. The deployment is rolled back
    when one of the alarms goes off: those on the new version's own errors and latency, by
    CloudWatch's dimension ``ExecutedVersion``, since in the alias's own figures nine healthy
    requests hide a failing one. CloudFormation waits for all of that, and rolls the stack back too.

    The first deployment of a function makes the alias, and has nothing to compare with: neither
    hook nor steps. Costs nothing beside two alarms ($0.10 each a month) and the hook's seconds:
    CodeDeploy is free for AWS Lambda (https://aws.amazon.com/codedeploy/pricing/).

    Args:
        function: whose alias moves; in the same stack, since CloudFormation deploys it that way.
        deployment_config: how traffic moves. Default: ``LINEAR_10_PERCENT_EVERY_1_MINUTE``, ten
            minutes. The CDK has AWS's others, and ``codedeploy.LambdaDeploymentConfig`` makes your
            own.
        smoke_tests: what the new version is asked first. Default: nothing, and there is no hook.
        max_error_rate: the share of a minute's requests that may fail, from 0 to below 1. Default:
            0.01.
        max_latency: the 99th percentile of a minute's requests that is allowed in two minutes of
            three. Default: half the function's timeout, which is far more than most promise their
            callers: give what you promise.
        alarms: others that roll back too, up to 8. Default: none.

    Attributes:
        deployment_group: CodeDeploy's.
        hook: the function that asks the smoke tests; ``None`` without any.
        error_alarm: on the share of requests that fail.
        latency_alarm: on their time.

    Raises:
        ConfigurationError: a value outside its range, an imported function, one of another stack,
            or one whose traffic something else directs already; provisioned concurrency, unless the
            traffic moves all at once.

    Example:
        >>> GradualRelease(
        ...     stack,
        ...     "Release",
        ...     function=function,
        ...     deployment_config=codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
        ...     smoke_tests=[SmokeTest({"features": [1, 2, 3]}, {"predictions": 6.0})],
        ...     max_latency=Duration.millis(200),
        ... )
    """

    deployment_group: Final[codedeploy.LambdaDeploymentGroup]
    hook: Final[lambda_.Function | None]
    error_alarm: Final[cloudwatch.Alarm]
    latency_alarm: Final[cloudwatch.Alarm]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: MLInferenceFunction,
        deployment_config: codedeploy.ILambdaDeploymentConfig | None = None,
        smoke_tests: Sequence[SmokeTest] = (),
        max_error_rate: float = 0.01,
        max_latency: Duration | None = None,
        alarms: Sequence[cloudwatch.IAlarm] = (),
    ) -> None:
        super().__init__(scope, id)
        config = (
            deployment_config or codedeploy.LambdaDeploymentConfig.LINEAR_10_PERCENT_EVERY_1_MINUTE
        )
        problems = Problems(self.node.path)
        check_alias(self, function, problems)
        check_smoke_tests(smoke_tests, problems)
        _check_error_rate(max_error_rate, problems)
        _check_latency(max_latency, function.timeout, problems)
        _check_alarms(len(alarms), problems)
        problems.raise_if_any()

        function.release = self
        if config.deployment_config_name != _ALL_AT_ONCE:
            function.node.add_validation(_NotProvisioned(function))
        version = ExecutedVersion(function, function.function.current_version.version)
        self.error_alarm = self._error_alarm(version, max_error_rate)
        self.latency_alarm = self._latency_alarm(
            version, max_latency or Duration.millis(function.timeout.to_milliseconds() / 2)
        )
        self.hook = (
            SmokeTestHook(self, "SmokeTests", function=function, tests=smoke_tests).function
            if smoke_tests
            else None
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com"))
        self.deployment_group = codedeploy.LambdaDeploymentGroup(
            self,
            "DeploymentGroup",
            alias=function.alias,
            application=codedeploy.LambdaApplication(self, "Application"),
            deployment_config=config,
            # The CDK adds AWS's own policy for this, which may move every alias in the account.
            role=role.without_policy_updates(),
            pre_hook=self.hook,
            alarms=[self.error_alarm, self.latency_alarm, *alarms],
            auto_rollback=codedeploy.AutoRollbackConfig(
                failed_deployment=True, stopped_deployment=True, deployment_in_alarm=True
            ),
        )
        # CodeDeploy moves the alias as soon as that is updated: by then it must be allowed to, and
        # the alarms must be on the new version.
        function.alias.node.add_dependency(self._allow(role, function), self.deployment_group)

    def _allow(self, role: iam.Role, function: MLInferenceFunction) -> iam.Policy:
        function_arn = function.function.function_arn
        statements = [
            iam.PolicyStatement(
                actions=[
                    "lambda:GetAlias",
                    "lambda:GetProvisionedConcurrencyConfig",
                    "lambda:UpdateAlias",
                ],
                resources=[function_arn, f"{function_arn}:{function.alias_name}"],
            ),
            iam.PolicyStatement(actions=["cloudwatch:DescribeAlarms"], resources=["*"]),
        ]
        if self.hook is not None:
            statements.append(
                iam.PolicyStatement(
                    actions=["lambda:InvokeFunction"], resources=[self.hook.function_arn]
                )
            )
        policy = iam.Policy(self, "Policy", roles=[role], statements=statements)
        acknowledge(policy, "IAM5[Resource::*]", "CodeDeploy asks for alarms by name, of all")
        return policy

    def _error_alarm(self, version: ExecutedVersion, max_error_rate: float) -> cloudwatch.Alarm:
        minute = Duration.minutes(1)
        rate = cloudwatch.MathExpression(
            expression="errors / invocations",
            using_metrics={
                "errors": version.metric_errors(period=minute),
                "invocations": version.metric_invocations(period=minute),
            },
            period=minute,
            label="The share of the new version's requests that fail",
        )
        return rate.create_alarm(
            self,
            "ErrorAlarm",
            alarm_description="The new version fails: its release is rolled back",
            threshold=max_error_rate,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _latency_alarm(self, version: ExecutedVersion, most: Duration) -> cloudwatch.Alarm:
        latency = version.metric_duration(statistic="p99", period=Duration.minutes(1))
        return latency.create_alarm(
            self,
            "LatencyAlarm",
            alarm_description="The new version is slow: its release is rolled back",
            threshold=most.to_milliseconds(),
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=3,
            datapoints_to_alarm=2,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


@jsii.implements(IValidation)
class _NotProvisioned:
    """A pool may be made after the release."""

    def __init__(self, function: MLInferenceFunction) -> None:
        self._function = function

    def validate(self) -> list[str]:
        if not isinstance(self._function.warm_capacity, ProvisionedWarmPool):
            return []
        return [
            "the alias live has provisioned concurrency, and its traffic moves in steps; Lambda"
            " takes no provisioned concurrency while an alias is split; give GradualRelease"
            " LambdaDeploymentConfig.ALL_AT_ONCE, which still runs the smoke tests first, or do"
            " without ProvisionedWarmPool"
        ]


def _check_error_rate(rate: float, problems: Problems) -> None:
    if are_known(rate) and not 0 <= rate < 1:
        problems.add(
            f"max_error_rate is {rate:g}",
            allowed="it is a share, from 0 to below 1",
            remedy="give one such as 0.01",
        )


def _check_latency(most: Duration | None, timeout: Duration | None, problems: Problems) -> None:
    if most is None and timeout is not None and timeout.is_unresolved():
        problems.add(
            "max_latency is not given",
            allowed="half the function's timeout would be it, which only the deployment knows",
            remedy="give the latency that you promise your callers",
        )


def _check_alarms(count: int, problems: Problems) -> None:
    if count > CODE_DEPLOY_ALARMS - _OWN_ALARMS:
        problems.add(
            f"alarms are {count}",
            allowed=f"CodeDeploy watches {CODE_DEPLOY_ALARMS}, of which {_OWN_ALARMS} are here"
            " already",
            remedy="put several into a CompositeAlarm",
        )
