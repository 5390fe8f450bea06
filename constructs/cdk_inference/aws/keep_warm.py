"""Execution environments kept warm by calling them again and again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Unpack

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn

from cdk_inference.aws.nag import acknowledge
from cdk_inference.aws.tokens import are_known
from cdk_inference.aws.warmth import check_not_warm_yet, check_same_region
from cdk_inference.contract import WARM_UP_HOLD_LIMIT_MS, warm_up_event
from cdk_inference.limits import KEEP_WARM_ENVIRONMENTS
from cdk_inference.prices import (
    EXPRESS_GB_SECOND,
    EXPRESS_REQUEST,
    LAMBDA,
    LAMBDA_REQUEST,
    SCHEDULER_INVOCATION,
    SECONDS_PER_MONTH,
)
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch

    from cdk_inference.aws.inference_function import InferenceFunction
    from cdk_inference.aws.metrics import MetricOptions

DEFAULT_EVERY: Final = Duration.minutes(5)
DEFAULT_HOLD: Final = Duration.millis(500)

# An express workflow is billed for its memory in steps of this, and this small one takes one step.
_EXPRESS_GB: Final = 64 / 1024


class KeepWarm(Construct):
    """Calls a function's alias ``live`` every few minutes, on several environments at once.

    A schedule (EventBridge Scheduler) starts a small workflow (Step Functions, express), which
    invokes the alias as many times at the same moment with ``{"warmup": true, "hold_ms": …}``. The
    runtime runs no model for it, but stays busy for ``hold``, so that each call has an environment
    to itself. As many schedules instead of the workflow would not do: each fires at any second of
    its minute (https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html).

    Lambda promises nothing here: it may end an idle environment at any time, and a call beyond
    ``environments`` at once starts cold. Where that is not good enough, use
    :class:`ProvisionedWarmPool`. While a warm-up is held, a request that comes in runs elsewhere.

    Costs, for each month (:mod:`cdk_inference.prices`)::

        calls = environments × 2,628,000 s / every
        calls × (hold × memory_size/1,024 × $0.0000166667 + $0.0000002)    ($0.0000133334 on arm64)
        + a few cents for schedule, workflow and its log

    Args:
        function: whose alias is called: one that this library serves, since it answers a warm-up.
        environments: how many are kept, 1 to 40.
        every: how often, in whole minutes. Default: 5 minutes, less than an idle environment was
            seen to live; Lambda documents no figure.
        hold: how long each call stays busy, up to 10 seconds: longer than it takes the workflow to
            make all calls. Default: 0.5 seconds.

    Attributes:
        schedule: starts the workflow.
        workflow: makes the calls.
        dead_letter_queue: starts of the workflow that failed three times, kept for 14 days.
        monthly_cost: US dollars in us-east-1 without the log; ``None`` where the memory is not
            known before the deployment.

    Raises:
        ConfigurationError: a value outside its range, fewer environments allowed by the function's
            ``reserved_concurrency``, or a function that is kept warm otherwise already.

    Example:
        >>> keeper = KeepWarm(stack, "KeepWarm", function=function, environments=3)
        >>> keeper.metric_failed().create_alarm(stack, "Cold", threshold=1, evaluation_periods=1)
    """

    schedule: Final[scheduler.Schedule]
    workflow: Final[sfn.StateMachine]
    dead_letter_queue: Final[sqs.Queue]
    monthly_cost: Final[float | None]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: InferenceFunction,
        environments: int,
        every: Duration = DEFAULT_EVERY,
        hold: Duration = DEFAULT_HOLD,
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        check_keep_warm(function, environments, every, hold, problems)
        check_not_warm_yet(function, problems)
        check_same_region(self, function, problems)
        problems.raise_if_any()

        function.warm_capacity = self
        self.workflow = self._workflow(function, environments, hold)
        self.dead_letter_queue = sqs.Queue(
            self,
            "DeadLetterQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        acknowledge(self.dead_letter_queue, "SQS3", "it is a dead-letter queue itself")
        self.schedule = scheduler.Schedule(
            self,
            "Schedule",
            schedule=scheduler.ScheduleExpression.rate(every),
            description=f"Keeps {function.title} warm, environments: {environments}",
            target=targets.StepFunctionsStartExecution(
                self.workflow,
                role=self._scheduler_role(),
                dead_letter_queue=self.dead_letter_queue,
                max_event_age=Duration.minutes(1),  # later, the next one is better
                retry_attempts=2,
            ),
        )
        self.monthly_cost = self._monthly_cost(function, environments, every, hold)

    def metric_failed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many rounds of calls failed: the sum over 5 minutes, unless told otherwise."""
        return self.workflow.metric_failed(**options)

    def _workflow(
        self, function: InferenceFunction, environments: int, hold: Duration
    ) -> sfn.StateMachine:
        role = iam.Role(
            self, "WorkflowRole", assumed_by=iam.ServicePrincipal("states.amazonaws.com")
        )
        function.grant_invoke(role)
        acknowledge(
            role, "IAM5[Resource::*]", "X-Ray's actions and those of log delivery take no resource"
        )
        definition = _definition(function.alias.function_arn, environments, hold)
        return sfn.StateMachine(
            self,
            "Workflow",
            comment=f"Calls {function.title} on {environments} environments at once",
            state_machine_type=sfn.StateMachineType.EXPRESS,
            definition_body=sfn.DefinitionBody.from_string(json.dumps(definition)),
            role=role,
            tracing_enabled=True,
            logs=sfn.LogOptions(
                level=sfn.LogLevel.ALL,
                destination=logs.LogGroup(
                    self,
                    "WorkflowLogs",
                    retention=logs.RetentionDays.ONE_WEEK,
                    removal_policy=RemovalPolicy.DESTROY,
                ),
            ),
        )

    def _scheduler_role(self) -> iam.Role:
        # Without the condition, a schedule of another account might use the role.
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        principal = iam.ServicePrincipal(
            "scheduler.amazonaws.com",
            conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
        )
        return iam.Role(self, "SchedulerRole", assumed_by=principal)

    def _monthly_cost(
        self, function: InferenceFunction, environments: int, every: Duration, hold: Duration
    ) -> float | None:
        if function.memory_size is None or function.memory_size.is_unresolved():
            return None
        rounds = SECONDS_PER_MONTH / every.to_seconds()
        seconds = hold.to_milliseconds() / 1000
        gigabytes = function.memory_size.to_mebibytes() / 1024
        price = LAMBDA[function.function.architecture.name].gb_second
        call = seconds * gigabytes * price + LAMBDA_REQUEST
        start = SCHEDULER_INVOCATION + EXPRESS_REQUEST + seconds * _EXPRESS_GB * EXPRESS_GB_SECOND
        cost = rounds * (environments * call + start)
        CfnOutput(
            self,
            "MonthlyCost",
            value=f"{cost:.2f}",
            description="US dollars a month in us-east-1, the workflow's log apart",
        )
        return cost


def _definition(alias_arn: str, environments: int, hold: Duration) -> dict[str, Any]:
    """The workflow in Amazon States Language: https://states-language.net."""
    call = {
        "Type": "Task",
        "Resource": f"arn:{Aws.PARTITION}:states:::lambda:invoke",
        "Arguments": {
            "FunctionName": alias_arn,
            "Payload": warm_up_event(int(hold.to_milliseconds())),
        },
        "End": True,
    }
    calls = {
        "Type": "Map",
        "Items": list(range(environments)),
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "INLINE"},
            "StartAt": "Call",
            "States": {"Call": call},
        },
        "End": True,
    }
    return {"QueryLanguage": "JSONata", "StartAt": "CallAll", "States": {"CallAll": calls}}


def check_keep_warm(
    function: InferenceFunction,
    environments: int,
    every: Duration,
    hold: Duration,
    problems: Problems,
) -> None:
    """Record whatever cannot work for ``function``, of which only the arguments need be there."""
    if problems.check_known("environments", are_known(environments)):
        _check_environments(environments, function.reserved_concurrency, problems)
    if problems.check_known("every", not every.is_unresolved()):
        _check_every(every, problems)
    if problems.check_known("hold", not hold.is_unresolved()):
        _check_hold(hold, function.timeout, problems)


def _check_environments(environments: int, reserved: int | None, problems: Problems) -> None:
    most = KEEP_WARM_ENVIRONMENTS.maximum
    if not KEEP_WARM_ENVIRONMENTS.minimum <= environments <= most:
        problems.add(
            f"environments is {environments}",
            allowed=f"a Step Functions map makes 1 to {most} calls at once",
            remedy="choose a number in that range, or WarmStrategy.provisioned(…) for more",
        )
    if reserved is not None and are_known(reserved) and environments > reserved:
        problems.add(
            f"environments is {environments}",
            allowed=f"the function's reserved_concurrency is {reserved}, and it never has more"
            " environments than that",
            remedy="raise reserved_concurrency, leave it out, or keep fewer warm",
        )


def _check_every(every: Duration, problems: Problems) -> None:
    minutes = every.to_milliseconds() / 60_000
    if minutes < 1 or minutes != int(minutes):
        problems.add(
            f"every is {minutes:g} minutes",
            allowed="EventBridge Scheduler counts in whole minutes, from 1",
            remedy="choose a whole number, such as Duration.minutes(5)",
        )


def _check_hold(hold: Duration, timeout: Duration | None, problems: Problems) -> None:
    most_ms = WARM_UP_HOLD_LIMIT_MS
    if timeout is not None and not timeout.is_unresolved():
        most_ms = min(most_ms, int(timeout.to_milliseconds()) // 2)
    hold_ms = hold.to_milliseconds()
    if not 1 <= hold_ms <= most_ms:
        problems.add(
            f"hold is {hold_ms:g} ms",
            allowed=f"the runtime stays busy for 1 to {WARM_UP_HOLD_LIMIT_MS} ms, and no longer"
            " than half of the function's timeout",
            remedy=f"choose a time up to {most_ms} ms",
        )
