"""Execution environments that are always initialized, as many as the traffic takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Unpack

import jsii
from aws_cdk import CfnOutput, Duration, Stack, TimeZone
from aws_cdk import aws_applicationautoscaling as appscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from cdk_inference.aws.tokens import are_known
from cdk_inference.aws.warmth import (
    check_not_warm_yet,
    check_same_account,
    check_same_region,
    check_without_snap_start,
)
from cdk_inference.limits import LAMBDA_SCALING_UTILIZATION
from cdk_inference.prices import LAMBDA, SECONDS_PER_MONTH
from cdk_inference.validation import Problems
from constructs import Construct, IValidation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdk_inference.aws.inference_function import InferenceFunction
    from cdk_inference.aws.metrics import MetricOptions

# Application Auto Scaling's own role, which AWS makes when it first needs it.
# https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-service-linked-roles.html
_SCALING_ROLE: Final = "AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency"

# A scheduled action, unlike target tracking, starts environments where there are none.
# https://aws.amazon.com/blogs/compute/scheduling-aws-lambda-provisioned-concurrency-for-recurring-peak-usage/
_EVERY_HOUR: Final = "cron(0 * * * ? *)"


@dataclass(frozen=True)
class WarmSchedule:
    """Another range for a pool from a point in time on, until the next schedule.

    Attributes:
        name: its own among the pool's schedules.
        schedule: when, once or again and again.
        min_capacity: the fewest environments from then on, 1 at least.
        max_capacity: the most from then on. Default: the pool's own.
        time_zone: in which ``schedule`` is read, summer time included. Default: UTC.

    Example:
        >>> WarmSchedule(
        ...     "morning",
        ...     appscaling.Schedule.cron(week_day="MON-FRI", hour="8", minute="0"),
        ...     min_capacity=10,
        ...     time_zone=TimeZone.EUROPE_BERLIN,
        ... )
    """

    name: str
    schedule: appscaling.Schedule
    min_capacity: int
    max_capacity: int | None = None
    time_zone: TimeZone | None = None


class ProvisionedWarmPool(Construct):
    """Provisioned concurrency on a function's alias ``live``, scaled by use and by schedule.

    A deployment starts the new version with ``min_capacity`` environments before ``live`` moves to
    it; target tracking then takes it to what the traffic needs. Requests beyond the pool run on
    demand, starting cold: they spill over, and an alarm without an action tells of it.

    The alias of a function that was looked up is not this app's to provision. There the first
    schedule starts the pool, or, without any, the next full hour; and a deployment of the function
    starts with what its own app says.

    Costs, for each month, whether anybody asks or not (:mod:`cdk_inference.prices`)::

        environments × memory_size/1,024 × 2,628,000 s × $0.0000041667    ($0.0000033334 on arm64)

    Requests in the pool then cost $0.0000097222 instead of $0.0000166667 for each GB and second.

    Args:
        function: whose alias is kept warm.
        min_capacity: the fewest environments, 1 at least: what a deployment starts with.
        max_capacity: the most.
        target_utilization: the share of the environments that is to be busy, 0.1 to 0.9. Lower
            keeps more in reserve for a sudden rise, which takes minutes to follow. Default: 0.7.
        schedules: other ranges at other times. Default: none.

    Attributes:
        target: what Application Auto Scaling scales.
        spillover_alarm: goes off when requests spilled over in 3 of 5 minutes.
        monthly_cost_at_min: US dollars a month in us-east-1, at the lowest capacity of the pool and
            its schedules; ``None`` where the memory is not known before the deployment.
        monthly_cost_at_max: the same at the highest.

    Raises:
        ConfigurationError: a capacity below 1 or above the function's ``reserved_concurrency``, a
            range that is empty, or a function that is kept warm otherwise already.

    Example:
        >>> pool = ProvisionedWarmPool(
        ...     stack, "Pool", function=function, min_capacity=2, max_capacity=20
        ... )
        >>> pool.spillover_alarm.add_alarm_action(page_somebody)
    """

    target: Final[appscaling.ScalableTarget]
    spillover_alarm: Final[cloudwatch.Alarm]
    monthly_cost_at_min: Final[float | None]
    monthly_cost_at_max: Final[float | None]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: InferenceFunction,
        min_capacity: int,
        max_capacity: int,
        target_utilization: float = 0.7,
        schedules: Sequence[WarmSchedule] = (),
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        check_pool(function, min_capacity, max_capacity, target_utilization, schedules, problems)
        check_not_warm_yet(function, problems)
        check_without_snap_start(function, problems)
        check_same_region(self, function, problems)
        check_same_account(self, function, problems)
        problems.raise_if_any()

        function.warm_capacity = self
        self._function = function
        # Application Auto Scaling keeps to the range what is there; it starts nothing by itself.
        alias = function.alias.node.default_child
        if isinstance(alias, lambda_.CfnAlias):
            _provision(alias, min_capacity)
            function.node.add_validation(_WholeAlias(alias))
        elif not schedules:
            every_hour = appscaling.Schedule.expression(_EVERY_HOUR)
            schedules = [WarmSchedule("Start", every_hour, min_capacity=min_capacity)]
        self.target = self._scalable_target(function, min_capacity, max_capacity)
        self.target.scale_to_track_metric(
            "Utilization",
            target_value=target_utilization,
            predefined_metric=appscaling.PredefinedMetric.LAMBDA_PROVISIONED_CONCURRENCY_UTILIZATION,
        )
        for schedule in schedules:
            self.target.scale_on_schedule(
                schedule.name,
                schedule=schedule.schedule,
                min_capacity=schedule.min_capacity,
                max_capacity=schedule.max_capacity or max_capacity,
                time_zone=schedule.time_zone,
            )
        self.spillover_alarm = self._spillover_alarm()
        lows = [min_capacity, *(s.min_capacity for s in schedules)]
        highs = [max_capacity, *(s.max_capacity or max_capacity for s in schedules)]
        self.monthly_cost_at_min = self._monthly_cost("MonthlyCostAtMin", function, min, lows)
        self.monthly_cost_at_max = self._monthly_cost("MonthlyCostAtMax", function, max, highs)

    def metric_utilization(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """The share of the environments that is busy: the highest in 5 minutes, by default."""
        merged: MetricOptions = {"statistic": "Maximum", **options}
        return self._function.metric("ProvisionedConcurrencyUtilization", **merged)

    def metric_spillover(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many requests found no free environment: the sum over 5 minutes, by default."""
        merged: MetricOptions = {"statistic": "Sum", **options}
        return self._function.metric("ProvisionedConcurrencySpilloverInvocations", **merged)

    def _scalable_target(
        self, function: InferenceFunction, min_capacity: int, max_capacity: int
    ) -> appscaling.ScalableTarget:
        role = Stack.of(self).format_arn(
            service="iam",
            region="",
            resource="role/aws-service-role/lambda.application-autoscaling.amazonaws.com",
            resource_name=_SCALING_ROLE,
        )
        target = appscaling.ScalableTarget(
            self,
            "Target",
            service_namespace=appscaling.ServiceNamespace.LAMBDA,
            scalable_dimension="lambda:function:ProvisionedConcurrency",
            resource_id=f"function:{function.function.function_name}:{function.alias_name}",
            min_capacity=min_capacity,
            max_capacity=max_capacity,
            role=iam.Role.from_role_arn(self, "ScalingRole", role),
        )
        # It names the alias, and a name makes no order.
        target.node.add_dependency(function.alias)
        return target

    def _spillover_alarm(self) -> cloudwatch.Alarm:
        return self.metric_spillover(period=Duration.minutes(1)).create_alarm(
            self,
            "SpilloverAlarm",
            alarm_description="Requests start cold: all provisioned environments are busy. Raise"
            " max_capacity, or lower target_utilization if the traffic rises suddenly.",
            threshold=0,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=5,
            datapoints_to_alarm=3,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _monthly_cost(
        self,
        id: str,
        function: InferenceFunction,
        choose: Callable[[list[int]], int],
        capacities: list[int],
    ) -> float | None:
        memory_size = function.memory_size
        if memory_size is None or memory_size.is_unresolved() or not are_known(*capacities):
            return None
        environments = choose(capacities)
        price = LAMBDA[function.function.architecture.name].provisioned_gb_second
        cost = environments * memory_size.to_mebibytes() / 1024 * SECONDS_PER_MONTH * price
        CfnOutput(
            self,
            id,
            value=f"{cost:.2f}",
            description=f"US dollars a month in us-east-1 at a capacity of {environments},"
            " requests apart",
        )
        return cost


def _provision(alias: lambda_.CfnAlias, environments: int) -> None:
    alias.provisioned_concurrency_config = (
        lambda_.CfnAlias.ProvisionedConcurrencyConfigurationProperty(
            provisioned_concurrent_executions=environments
        )
    )


@jsii.implements(IValidation)
class _WholeAlias:
    """Whoever splits an alias among versions may do so after the pool was made."""

    def __init__(self, alias: lambda_.CfnAlias) -> None:
        self._alias = alias

    def validate(self) -> list[str]:
        if self._alias.routing_config is None:
            return []
        return [
            "the alias live has provisioned concurrency and weighted routing; Lambda allows one of"
            " them, and the second deployment fails; leave the routing out, or do without"
            " ProvisionedWarmPool"
        ]


def check_pool(
    function: InferenceFunction,
    min_capacity: int,
    max_capacity: int,
    target_utilization: float,
    schedules: Sequence[WarmSchedule],
    problems: Problems,
) -> None:
    """Record whatever cannot work for ``function``, of which only the arguments need be there."""
    reserved = function.reserved_concurrency
    _check_range("", min_capacity, max_capacity, problems)
    for schedule in schedules:
        most = max_capacity if schedule.max_capacity is None else schedule.max_capacity
        _check_range(f" of schedule {schedule.name!r}", schedule.min_capacity, most, problems)
        _check_reserved(f" of schedule {schedule.name!r}", most, reserved, problems)
    _check_names([schedule.name for schedule in schedules], problems)
    _check_reserved("", max_capacity, reserved, problems)
    low, high = LAMBDA_SCALING_UTILIZATION
    if are_known(target_utilization) and not low <= target_utilization <= high:
        problems.add(
            f"target_utilization is {target_utilization:g}",
            allowed=f"Application Auto Scaling allows {low} to {high}",
            remedy="choose a value in that range",
        )


def _check_range(where: str, least: int, most: int, problems: Problems) -> None:
    if not are_known(least, most):
        return
    if least < 1 or least != int(least):
        problems.add(
            f"min_capacity{where} is {least:g}",
            allowed="a pool has 1 environment at least: at 0 the configuration is gone, and the"
            " next deployment fails on it",
            remedy="use 1, or no pool and WarmStrategy.snap_start() if that is too much",
        )
    if most < least or most != int(most):
        problems.add(
            f"max_capacity{where} is {most:g}",
            allowed=f"min_capacity is {least:g}, and the most cannot be fewer or in parts",
            remedy="give a whole number from min_capacity on",
        )


def _check_reserved(where: str, most: int, reserved: int | None, problems: Problems) -> None:
    if reserved is not None and are_known(most, reserved) and most > reserved:
        problems.add(
            f"max_capacity{where} is {most}",
            allowed=f"the function's reserved_concurrency is {reserved}, and Lambda provisions no"
            " more than that",
            remedy="raise reserved_concurrency, leave it out, or lower max_capacity",
        )


def _check_names(names: list[str], problems: Problems) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        problems.add(
            f"schedules are named {', '.join(map(repr, twice))} more than once",
            allowed="each has a name of its own",
            remedy="rename all but one",
        )
