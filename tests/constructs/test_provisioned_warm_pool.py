from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from aws_cdk import CfnParameter, Duration, Size, Stack, TimeZone
from aws_cdk import aws_applicationautoscaling as appscaling
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from cdk_inference import (
    ConfigurationError,
    InferenceModel,
    KeepWarm,
    MLInferenceFunction,
    ProvisionedWarmPool,
    WarmSchedule,
    WarmStrategy,
)
from cdk_inference.prices import LAMBDA
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

WEEKDAYS = appscaling.Schedule.cron(week_day="MON-FRI", hour="8", minute="0")
NewPool = Callable[..., ProvisionedWarmPool]


@pytest.fixture
def new_pool(stack: Stack, model: InferenceModel) -> NewPool:
    def new(*, function: dict[str, Any] | None = None, **options: Any) -> ProvisionedWarmPool:
        served = MLInferenceFunction(stack, "Scale", model=model, **(function or {}))
        options = {"min_capacity": 2, "max_capacity": 10} | options
        return ProvisionedWarmPool(stack, "Pool", function=served, **options)

    return new


def schedule(**options: Any) -> WarmSchedule:
    return WarmSchedule(**({"name": "morning", "schedule": WEEKDAYS, "min_capacity": 5} | options))


def test_minimal_template(new_pool: NewPool, stack: Stack, snapshot: SnapshotAssertion) -> None:
    new_pool()
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    evening = appscaling.Schedule.cron(hour="20", minute="0")
    MLInferenceFunction(
        stack,
        "Scale",
        model=model,
        architecture=lambda_.Architecture.ARM_64,
        warm_strategy=WarmStrategy.provisioned(
            min=1,
            max=20,
            target_utilization=0.5,
            schedules=[
                schedule(max_capacity=40, time_zone=TimeZone.EUROPE_BERLIN),
                schedule(name="evening", schedule=evening, min_capacity=1),
            ],
        ),
    )
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_a_deployment_starts_with_the_least(new_pool: NewPool, stack: Stack) -> None:
    new_pool()
    alias = only_resource(synthesize(stack), "AWS::Lambda::Alias")
    assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 2}


def test_the_target_comes_after_the_alias(new_pool: NewPool, stack: Stack) -> None:
    new_pool()
    template = synthesize(stack)
    alias = only_logical_id(template, "AWS::Lambda::Alias")
    for kind in ("ScalableTarget", "ScalingPolicy"):
        template.has_resource(f"AWS::ApplicationAutoScaling::{kind}", {"DependsOn": [alias]})


def test_schedules_have_time_zones_and_the_pools_maximum(new_pool: NewPool, stack: Stack) -> None:
    new_pool(schedules=[schedule(time_zone=TimeZone.ASIA_TOKYO), schedule(name="utc")])
    target = only_resource(synthesize(stack), "AWS::ApplicationAutoScaling::ScalableTarget")
    tokyo, utc = target["ScheduledActions"]
    assert (tokyo["Timezone"], "Timezone" in utc) == ("Asia/Tokyo", False)
    assert tokyo["ScalableTargetAction"] == {"MinCapacity": 5, "MaxCapacity": 10}


def test_the_cost_is_that_of_the_lowest_and_the_highest_capacity(
    new_pool: NewPool, stack: Stack
) -> None:
    pool = new_pool(
        function={"memory_size": Size.gibibytes(2)},
        schedules=[schedule(min_capacity=1, max_capacity=30)],
    )
    # 2 GB × 730 h × 3,600 s/h × $0.0000041667
    assert pool.monthly_cost_at_min == pytest.approx(21.90, abs=0.005)
    assert pool.monthly_cost_at_max == pytest.approx(30 * 21.90, abs=0.05)
    values = {
        name: output["Value"]
        for name, output in Template.from_stack(stack).find_outputs("*").items()
        if name.startswith("PoolMonthlyCost")
    }
    assert sorted(values.values()) == ["21.90", "657.01"]


def test_arm_costs_less() -> None:
    assert LAMBDA["arm64"].provisioned_gb_second == pytest.approx(
        0.8 * LAMBDA["x86_64"].provisioned_gb_second, rel=1e-3
    )


def test_what_is_known_at_deploy_only_is_neither_checked_nor_priced(
    new_pool: NewPool, stack: Stack
) -> None:
    least = CfnParameter(stack, "Least", type="Number", default=1).value_as_number
    pool = new_pool(min_capacity=least)
    assert pool.monthly_cost_at_min is None
    assert pool.monthly_cost_at_max is not None
    synthesize(stack)


@pytest.mark.parametrize(
    ("metric", "name", "statistic"),
    [
        ("metric_utilization", "ProvisionedConcurrencyUtilization", "Maximum"),
        ("metric_spillover", "ProvisionedConcurrencySpilloverInvocations", "Sum"),
    ],
)
def test_metrics_are_those_of_the_alias(
    new_pool: NewPool, metric: str, name: str, statistic: str
) -> None:
    pool = new_pool()
    made = getattr(pool, metric)(period=Duration.minutes(1))
    assert (made.metric_name, made.statistic) == (name, statistic)
    assert set(made.dimensions) == {"FunctionName", "Resource"}
    assert getattr(pool, metric)(statistic="Average").statistic == "Average"


def refusals(new_pool: NewPool, **options: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        new_pool(**options)
    return caught.value.problems


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"min_capacity": 0}, "min_capacity is 0; a pool has 1 environment at least"),
        ({"min_capacity": 11}, "max_capacity is 10; min_capacity is 11"),
        ({"target_utilization": 0.95}, "target_utilization is 0.95"),
        (
            {"schedules": [schedule(min_capacity=0)]},
            "min_capacity of schedule 'morning' is 0; a pool has 1 environment at least: at 0 the"
            " configuration is gone, and the next deployment fails on it",
        ),
        (
            {"schedules": [schedule(min_capacity=1, max_capacity=0)]},
            "max_capacity of schedule 'morning' is 0",
        ),
        ({"schedules": [schedule(), schedule()]}, "schedules are named 'morning' more than once"),
        (
            {"function": {"reserved_concurrency": 9}},
            "max_capacity is 10; the function's reserved_concurrency is 9",
        ),
        (
            {"function": {"warm_strategy": WarmStrategy.snap_start()}},
            "Stack/Scale has WarmStrategy.snap_start()",
        ),
        (
            {"function": {"warm_strategy": WarmStrategy.keep_warm(environments=1)}},
            "Stack/Scale is kept warm by Stack/Scale/KeepWarm already",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(
    new_pool: NewPool, stack: Stack, options: dict[str, Any], problem: str
) -> None:
    (found,) = refusals(new_pool, **options)
    assert found.startswith(problem)
    assert construct_ids(stack.node.find_child("Pool")) == []


def test_all_problems_come_at_once(new_pool: NewPool) -> None:
    problems = refusals(
        new_pool,
        function={"reserved_concurrency": 3},
        min_capacity=0,
        target_utilization=2,
        schedules=[schedule(min_capacity=0)],
    )
    # The minimum, the maximum, the utilization; and minimum and maximum of the schedule.
    assert len(problems) == 5


def test_a_second_keeper_is_refused(new_pool: NewPool, stack: Stack) -> None:
    new_pool()
    function = cast(MLInferenceFunction, stack.node.find_child("Scale"))
    with pytest.raises(ConfigurationError, match="is kept warm by Stack/Pool already"):
        KeepWarm(stack, "KeepWarm", function=function, environments=1)


def test_weighted_routing_is_refused_at_synth(new_pool: NewPool, stack: Stack) -> None:
    new_pool()
    function = cast(MLInferenceFunction, stack.node.find_child("Scale"))
    alias = cast(lambda_.CfnAlias, function.alias.node.default_child)
    alias.routing_config = lambda_.CfnAlias.AliasRoutingConfigurationProperty(
        additional_version_weights=[
            lambda_.CfnAlias.VersionWeightProperty(function_version="1", function_weight=0.1)
        ]
    )
    with pytest.raises(RuntimeError, match="provisioned concurrency and weighted routing"):
        Template.from_stack(stack)


@given(
    least=st.integers(-5, 50),
    most=st.integers(-5, 50),
    utilization=st.floats(0, 1),
    reserved=st.none() | st.integers(1, 50),
)
def test_a_pool_is_accepted_exactly_if_lambda_would(
    least: int, most: int, utilization: float, reserved: int | None
) -> None:
    from types import SimpleNamespace

    from cdk_inference.aws.provisioned_warm_pool import check_pool
    from cdk_inference.validation import Problems

    function = cast(MLInferenceFunction, SimpleNamespace(reserved_concurrency=reserved))
    problems = Problems("Pool")
    check_pool(function, least, most, utilization, [], problems)
    works = 1 <= least <= most <= (reserved or 50) and 0.1 <= utilization <= 0.9
    if works:
        problems.raise_if_any()
    else:
        with pytest.raises(ConfigurationError, match=re.escape("Pool: ")):
            problems.raise_if_any()


def test_construct_ids_are_public(new_pool: NewPool) -> None:
    assert construct_ids(new_pool()) == [
        "ScalingRole",
        "Target",
        "SpilloverAlarm",
        "MonthlyCostAtMin",
        "MonthlyCostAtMax",
    ]
