"""Metrics that CloudWatch counts in a function's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Names
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs

from cdk_inference.contract import LOG_REQUEST, LogField
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import Duration

    from cdk_inference.aws.monitored_function import MonitoredFunction

# REPORT RequestId: 8f5 Duration: 2.3 ms Billed Duration: 3 ms Memory Size: 128 MB Max Memory Used:
# 36 MB Init Duration: 89 ms …
# https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
_REPORT_LINE: Final = (
    'report = "REPORT"', "request_label", "request_id",
    "duration_label", "duration", "duration_unit",
    "billed_label_1", "billed_label_2", "billed", "billed_unit",
    "memory_label_1", "memory_label_2", "memory", "memory_unit",
    "used_label_1", "used_label_2", "used_label_3", "used", "used_unit", "...",
)  # fmt: skip


class LogMetrics(Construct):
    """Metric filters over the log of a function, each made when it is first asked for.

    Each costs $0.30 a month while there are values (https://aws.amazon.com/cloudwatch/pricing/).
    """

    def __init__(self, scope: Construct, id: str, *, function: MonitoredFunction) -> None:
        super().__init__(scope, id)
        self._function = function
        # Filters take no dimension that is not in the line, such as the function's name.
        self._namespace = f"Inference/{Names.unique_resource_name(scope, max_length=200)}"

    def memory_used(self, period: Duration) -> cloudwatch.Metric:
        """The most memory that an environment used since it started, in MB."""
        pattern = logs.FilterPattern.literal(f"[{', '.join(_REPORT_LINE)}]")
        filter_ = self._filter("MemoryUsed", pattern, value="$used")
        return filter_.metric(statistic="Maximum", period=period)

    def cold_start_rate(self, period: Duration) -> cloudwatch.MathExpression:
        """Which percentage of the requests started cold, by what the runtime logs."""
        pattern = logs.FilterPattern.all(
            logs.FilterPattern.string_value(f"$.{LogField.MESSAGE}", "=", LOG_REQUEST),
            logs.FilterPattern.boolean_value(f"$.{LogField.COLD_START}", True),
        )
        cold_starts = self._filter("ColdStarts", pattern, value="1")
        return cloudwatch.MathExpression(
            expression="100 * FILL(cold_starts, 0) / invocations",
            label="Cold starts, % of requests",
            period=period,
            using_metrics={
                "cold_starts": cold_starts.metric(statistic="Sum", period=period),
                "invocations": self._function.metric("Invocations", statistic="Sum", period=period),
            },
        )

    def _filter(self, name: str, pattern: logs.IFilterPattern, *, value: str) -> logs.MetricFilter:
        existing = self.node.try_find_child(name)
        if isinstance(existing, logs.MetricFilter):
            return existing
        return logs.MetricFilter(
            self,
            name,
            log_group=self._function.log_group,
            filter_pattern=pattern,
            metric_namespace=self._namespace,
            metric_name=name,
            metric_value=value,
        )
