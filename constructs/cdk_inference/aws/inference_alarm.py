"""What may go wrong with a function, as alarms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from cdk_inference.aws.tokens import are_known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdk_inference.aws.log_metrics import LogMetrics
    from cdk_inference.aws.monitored_function import MonitoredFunction
    from cdk_inference.validation import Problems


ONE_MINUTE: Final = Duration.minutes(1)


class AlarmOn(Enum):
    """What an alarm watches, and in its value what that alarm says.

    Example:
        >>> InferenceAlarm(AlarmOn.LATENCY, 50)
    """

    ERRORS = "more than {:g} % of the requests failed"
    """Errors of the function, timeouts among them; callers' mistakes are none."""

    LATENCY = "the slowest 1 % of the requests took more than {:g} % of the timeout"
    """The 99th percentile of the duration."""

    THROTTLES = "more than {:g} requests in a period were refused for want of concurrency"

    CONCURRENCY = "more than {:g} % of the reserved concurrency was in use"

    SPILLOVER = "more than {:g} requests in a period found no provisioned environment"

    MEMORY = "more than {:g} % of the memory was in use"
    """The most that an environment used since its start, from Lambda's ``REPORT`` lines."""

    COLD_STARTS = "more than {:g} % of the requests started cold"


@dataclass(frozen=True)
class InferenceAlarm:
    """An alarm: it goes off when a value is above a threshold for a while.

    Attributes:
        on: what it watches.
        threshold: what is too much, in the unit of ``on``.
        period: over which a value is taken. Default: 1 minute.
        periods: how many of the last periods are looked at. Default: 5.
        periods_to_alarm: in how many of them the value must be too high. Default: 3, so that
            neither one bad minute nor one good one decides.

    Example:
        >>> InferenceAlarm(AlarmOn.LATENCY, 50, periods=15, periods_to_alarm=15)
    """

    on: AlarmOn
    threshold: float
    period: Duration = ONE_MINUTE
    periods: int = 5
    periods_to_alarm: int = 3


# A limit that is near is told before it is reached; what is over one is told at once.
DEFAULT_ALARMS: Final[Mapping[str, InferenceAlarm]] = {
    "Errors": InferenceAlarm(AlarmOn.ERRORS, 1),
    "Latency": InferenceAlarm(AlarmOn.LATENCY, 80),
    "Throttles": InferenceAlarm(AlarmOn.THROTTLES, 0),
    "Concurrency": InferenceAlarm(AlarmOn.CONCURRENCY, 80),
    "Memory": InferenceAlarm(AlarmOn.MEMORY, 90),
    "Spillover": InferenceAlarm(AlarmOn.SPILLOVER, 0),
}

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
_DAY_MINUTES: Final = 24 * 60

_PERCENTAGES: Final = frozenset(AlarmOn) - {AlarmOn.THROTTLES, AlarmOn.SPILLOVER}


def default_alarms(function: MonitoredFunction) -> dict[str, InferenceAlarm]:
    """Those of the default alarms that ``function`` can set off, as far as it is known."""
    return {
        name: alarm
        for name, alarm in DEFAULT_ALARMS.items()
        if _missing_fact(alarm.on, function) is None
        and (alarm.on is not AlarmOn.SPILLOVER or function.pool is not None)
    }


def check_alarms(
    alarms: Mapping[str, InferenceAlarm], function: MonitoredFunction, problems: Problems
) -> None:
    """Record whatever cannot be an alarm of ``function``."""
    for name, alarm in alarms.items():
        if missing := _missing_fact(alarm.on, function):
            problems.add(
                f"alarm {name!r} is on {alarm.on.name}",
                allowed=f"its threshold is a share of {missing}, which is not known here",
                remedy="tell it in facts=FunctionFacts(…), or leave the alarm out",
            )
        if not problems.check_known(f"alarm {name!r}", _is_known(alarm)):
            continue
        _check_threshold(name, alarm, problems)
        _check_period(name, alarm, problems)
        if not 1 <= alarm.periods_to_alarm <= alarm.periods:
            problems.add(
                f"alarm {name!r} has periods_to_alarm={alarm.periods_to_alarm} of"
                f" periods={alarm.periods}",
                allowed="CloudWatch looks for 1 or more, and no more than there are",
                remedy="choose a number in that range",
            )


def metric_of(
    alarm: InferenceAlarm, function: MonitoredFunction, log_metrics: LogMetrics
) -> cloudwatch.IMetric:
    """What ``alarm`` watches."""
    period = alarm.period
    match alarm.on:
        case AlarmOn.ERRORS:
            return error_rate(function, period)
        case AlarmOn.LATENCY:
            return function.metric("Duration", statistic="p99", period=period)
        case AlarmOn.THROTTLES:
            return function.metric("Throttles", statistic="Sum", period=period)
        case AlarmOn.CONCURRENCY:
            return function.metric("ConcurrentExecutions", statistic="Maximum", period=period)
        case AlarmOn.SPILLOVER:
            return function.metric(
                "ProvisionedConcurrencySpilloverInvocations", statistic="Sum", period=period
            )
        case AlarmOn.MEMORY:
            return log_metrics.memory_used(period)
        case AlarmOn.COLD_STARTS:
            return log_metrics.cold_start_rate(period)


def threshold_of(alarm: InferenceAlarm, function: MonitoredFunction) -> float:
    """The threshold of ``alarm`` in the unit of its metric: milliseconds, MB, or as it is."""
    share = alarm.threshold / 100
    match alarm.on:
        case AlarmOn.LATENCY if function.timeout is not None:
            return share * function.timeout.to_milliseconds()
        case AlarmOn.MEMORY if function.memory_size is not None:
            return share * function.memory_size.to_mebibytes()
        case AlarmOn.CONCURRENCY if function.reserved_concurrency is not None:
            return share * function.reserved_concurrency
        case _:
            return alarm.threshold


def error_rate(function: MonitoredFunction, period: Duration) -> cloudwatch.MathExpression:
    """Which percentage of the requests failed."""
    return cloudwatch.MathExpression(
        expression="100 * errors / invocations",
        label="Errors, % of requests",
        period=period,
        using_metrics={
            "errors": function.metric("Errors", statistic="Sum", period=period),
            "invocations": function.metric("Invocations", statistic="Sum", period=period),
        },
    )


def _missing_fact(on: AlarmOn, function: MonitoredFunction) -> str | None:
    """What a share is taken of, if that is not known."""
    match on:
        case AlarmOn.LATENCY:
            known = function.timeout is not None and not function.timeout.is_unresolved()
            return None if known else "the function's timeout"
        case AlarmOn.MEMORY:
            known = function.memory_size is not None and not function.memory_size.is_unresolved()
            return None if known else "the function's memory_size"
        case AlarmOn.CONCURRENCY:
            reserved = function.reserved_concurrency
            known = reserved is not None and are_known(reserved)
            return None if known else "the function's reserved_concurrency"
        case _:
            return None


def _is_known(alarm: InferenceAlarm) -> bool:
    numbers = (alarm.threshold, alarm.periods, alarm.periods_to_alarm)
    return are_known(*numbers) and not alarm.period.is_unresolved()


def _check_period(name: str, alarm: InferenceAlarm, problems: Problems) -> None:
    minutes = alarm.period.to_milliseconds() / 60_000
    if minutes < 1 or minutes != int(minutes) or minutes * alarm.periods > _DAY_MINUTES:
        problems.add(
            f"alarm {name!r} has {alarm.periods} periods of {minutes:g} minutes",
            allowed="Lambda tells its metrics by the minute, and CloudWatch looks at a day at most",
            remedy="choose whole minutes, and no more than a day of them",
        )


def _check_threshold(name: str, alarm: InferenceAlarm, problems: Problems) -> None:
    if alarm.threshold < 0 or (alarm.on in _PERCENTAGES and alarm.threshold >= 100):
        problems.add(
            f"alarm {name!r} has the threshold {alarm.threshold:g}",
            allowed="it goes off above that, so a count may be 0 or more, and a percentage 0 to"
            " less than 100",
            remedy="choose a number in that range",
        )
