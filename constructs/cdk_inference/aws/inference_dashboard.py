"""The widgets of a function's dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from cdk_inference.aws import log_queries
from cdk_inference.aws.inference_alarm import error_rate
from cdk_inference.aws.tokens import are_known
from cdk_inference.contract import EMF_DIMENSIONS, EMF_NAMESPACE, LogField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdk_inference.aws.log_queries import LogQuery
    from cdk_inference.aws.monitored_function import MonitoredFunction

_PERIOD: Final = Duration.minutes(5)
_WIDTH: Final = 8  # a third of a row
_HEIGHT: Final = 6


def rows(
    function: MonitoredFunction, alarms: Sequence[cloudwatch.Alarm], *, emf: bool
) -> list[list[cloudwatch.IWidget]]:
    """The dashboard, row by row; with ``emf``, one of the runtime's own metrics."""
    widgets = [
        [_requests(function), _latency(function), _concurrency(function)],
        [
            _log_graph(function, log_queries.COLD_STARTS),
            _log_graph(function, log_queries.START_PHASES),
            _log_graph(function, log_queries.REQUEST_PARTS),
        ],
        [
            _log_graph(function, log_queries.MEMORY),
            _log_graph(function, log_queries.cost_query(function.gb_second)),
            _spillover(function),
        ],
    ]
    if alarms:
        widgets.insert(0, [_alarm_status(alarms)])
    if emf:
        widgets.append(
            [
                _by_version("p50 of a run, ms", LogField.RUN_MS, "p50"),
                _by_version("p99 of a run, ms", LogField.RUN_MS, "p99"),
                _by_version("Predictions", LogField.BATCH_SIZE, "Sum"),
            ]
        )
    return widgets


def _alarm_status(alarms: Sequence[cloudwatch.Alarm]) -> cloudwatch.IWidget:
    return cloudwatch.AlarmStatusWidget(
        alarms=list(alarms), title="Alarms", width=3 * _WIDTH, height=3
    )


def _requests(function: MonitoredFunction) -> cloudwatch.IWidget:
    return _graph(
        "Requests, errors and throttles",
        [
            function.metric(name, statistic="Sum", period=_PERIOD)
            for name in ("Invocations", "Errors", "Throttles")
        ],
        right=[error_rate(function, _PERIOD)],
    )


def _latency(function: MonitoredFunction) -> cloudwatch.IWidget:
    timeout = function.timeout
    limit = (
        []
        if timeout is None or timeout.is_unresolved()
        else [cloudwatch.HorizontalAnnotation(value=timeout.to_milliseconds(), label="Timeout")]
    )
    return _graph(
        "Latency, ms",
        [
            function.metric("Duration", statistic=statistic, period=_PERIOD, label=statistic)
            for statistic in ("p50", "p90", "p99", "Maximum")
        ],
        limits=limit,
    )


def _concurrency(function: MonitoredFunction) -> cloudwatch.IWidget:
    reserved = function.reserved_concurrency
    limit = (
        []
        if reserved is None or not are_known(reserved)
        else [cloudwatch.HorizontalAnnotation(value=reserved, label="Reserved")]
    )
    return _graph(
        "Requests at the same time",
        [
            function.metric(name, statistic="Maximum", period=_PERIOD)
            for name in ("ConcurrentExecutions", "ProvisionedConcurrentExecutions")
        ],
        limits=limit,
    )


def _spillover(function: MonitoredFunction) -> cloudwatch.IWidget:
    return _graph(
        "Provisioned concurrency: spillover, and the share in use",
        [
            function.metric(
                "ProvisionedConcurrencySpilloverInvocations", statistic="Sum", period=_PERIOD
            )
        ],
        right=[
            function.metric(
                "ProvisionedConcurrencyUtilization", statistic="Maximum", period=_PERIOD
            )
        ],
    )


def _by_version(title: str, metric: LogField, statistic: str) -> cloudwatch.IWidget:
    """One line for each model and version that the runtime has told CloudWatch of."""
    schema = ",".join([EMF_NAMESPACE, *EMF_DIMENSIONS])
    search = f'{{{schema}}} MetricName="{metric}"'
    expression = f"SEARCH('{search}', '{statistic}', {_PERIOD.to_seconds():g})"
    return _graph(
        title, [cloudwatch.MathExpression(expression=expression, label="", period=_PERIOD)]
    )


def _graph(
    title: str,
    left: Sequence[cloudwatch.IMetric],
    *,
    right: Sequence[cloudwatch.IMetric] = (),
    limits: Sequence[cloudwatch.HorizontalAnnotation] = (),
) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        left_annotations=list(limits),
        left_y_axis=cloudwatch.YAxisProps(min=0),
        width=_WIDTH,
        height=_HEIGHT,
    )


def _log_graph(function: MonitoredFunction, query: LogQuery) -> cloudwatch.IWidget:
    return cloudwatch.LogQueryWidget(
        title=query.title,
        log_group_names=[function.log_group.log_group_name],
        query_string=query.text,
        view=cloudwatch.LogQueryVisualizationType.LINE,
        width=_WIDTH,
        height=_HEIGHT,
    )
