"""Sees how a function does: a dashboard, alarms, and questions to its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import ArnFormat, Aws, CfnOutput, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_logs as logs

from cdk_inference.aws import log_queries
from cdk_inference.aws.inference_alarm import (
    check_alarms,
    default_alarms,
    metric_of,
    threshold_of,
)
from cdk_inference.aws.inference_dashboard import rows
from cdk_inference.aws.log_metrics import LogMetrics
from cdk_inference.aws.monitored_function import FunctionFacts, MonitoredFunction
from cdk_inference.aws.publishing import let_publish
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_sns as sns

    from cdk_inference.aws.inference_alarm import InferenceAlarm
    from cdk_inference.aws.inference_function import InferenceFunction
    from cdk_inference.aws.log_queries import LogQuery

_QUERIES: Final[Mapping[str, LogQuery]] = {
    "ColdStarts": log_queries.COLD_STARTS,
    "StartPhases": log_queries.START_PHASES,
    "RequestParts": log_queries.REQUEST_PARTS,
    "Slowest": log_queries.SLOWEST,
    "Errors": log_queries.ERRORS,
    "Tracebacks": log_queries.TRACEBACKS,
    "Versions": log_queries.VERSIONS,
    "Memory": log_queries.MEMORY,
}


class InferenceMonitoring(Construct):
    """A dashboard, alarms and saved Logs Insights queries for one function.

    They read what Lambda measures anyway and the lines that the runtime logs, so nothing is added
    to a request. It works for any function that runs this runtime, also one of another app: then
    say in ``facts`` what its alarms take shares of.

    Costs, for each month (https://aws.amazon.com/cloudwatch/pricing/, us-east-1)::

        $3 for the dashboard, $0.10 for each alarm and $0.20 for one on errors or cold starts
        + $0.30 for an alarm on memory or cold starts, whose metric comes from the log
        + $0.005 for each GB of the log that the dashboard's or your own queries read

    Args:
        function: what is watched: by its alias ``live``, or by the alias or function that is given.
        alarms: beside the default ones, or in the place of that with the same name; ``None``
            leaves that one out. Default: ``Errors`` above 1 % of the requests, ``Latency`` (p99)
            above 80 % of the timeout, any ``Throttles``, ``Concurrency`` above 80 % of what is
            reserved and ``Memory`` above 90 %, as far as those are known; and any ``Spillover``, if
            the function has a :class:`ProvisionedWarmPool` by then.
        topic: where alarms are sent; its policy, and its key's, let them. A topic of another app
            keeps its policies. Default: nowhere; alarms are seen only in the console.
        facts: what is known of a function that does not tell it itself.
        emf: whether the runtime writes metrics, with ``INFERENCE_METRICS=emf``: then the dashboard
            shows them by model version. Default: no, since each costs $0.30 a month.

    Attributes:
        dashboard: how the function does.
        alarms: by name.
        queries: saved in Logs Insights, by id.

    Raises:
        ConfigurationError: a threshold out of its range, or an alarm on what is not known.

    Example:
        >>> monitoring = InferenceMonitoring(stack, "Monitoring", function=function, topic=topic)
        >>> monitoring.alarms["Latency"].add_alarm_action(page_somebody)
    """

    dashboard: Final[cloudwatch.Dashboard]
    alarms: Final[Mapping[str, cloudwatch.Alarm]]
    queries: Final[Mapping[str, logs.CfnQueryDefinition]]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: InferenceFunction | lambda_.IFunction,
        alarms: Mapping[str, InferenceAlarm | None] | None = None,
        topic: sns.ITopic | None = None,
        facts: FunctionFacts | None = None,
        emf: bool = False,
    ) -> None:
        super().__init__(scope, id)
        watched = MonitoredFunction(self, function, facts or FunctionFacts())
        named = {**default_alarms(watched), **(alarms or {})}
        wanted = {name: alarm for name, alarm in named.items() if alarm is not None}

        problems = Problems(self.node.path)
        check_alarms(wanted, watched, problems)
        problems.raise_if_any()

        # Names are the user's, so alarms have a scope to themselves.
        alarms_scope = Construct(self, "Alarms")
        log_metrics = LogMetrics(self, "LogMetrics", function=watched)
        self.alarms = {
            name: _alarm(alarms_scope, name, alarm, watched, log_metrics)
            for name, alarm in wanted.items()
        }
        if topic is not None:
            self._send_to(topic)
        self.queries = self._saved_queries(watched)
        self.dashboard = cloudwatch.Dashboard(
            self, "Dashboard", widgets=rows(watched, list(self.alarms.values()), emf=emf)
        )
        CfnOutput(
            self,
            "DashboardUrl",
            value=f"https://console.aws.amazon.com/cloudwatch/home?region={Aws.REGION}"
            f"#dashboards:name={self.dashboard.dashboard_name}",
            description="How the function does",
        )

    def _send_to(self, topic: sns.ITopic) -> None:
        alarms = Stack.of(self).format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name="*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        let_publish(topic, "cloudwatch.amazonaws.com", source=alarms)
        for alarm in self.alarms.values():
            alarm.add_alarm_action(actions.SnsAction(topic))

    def _saved_queries(self, function: MonitoredFunction) -> dict[str, logs.CfnQueryDefinition]:
        scope = Construct(self, "Queries")
        # The CDK's own QueryDefinition puts a query's commands into an order of its own.
        return {
            name: logs.CfnQueryDefinition(
                scope,
                name,
                name=f"{self.node.path}/{query.title}",
                query_string=query.text,
                log_group_names=[function.log_group.log_group_name],
            )
            for name, query in {
                **_QUERIES,
                "Cost": log_queries.cost_query(function.gb_second),
            }.items()
        }


def _alarm(
    scope: Construct,
    name: str,
    alarm: InferenceAlarm,
    function: MonitoredFunction,
    log_metrics: LogMetrics,
) -> cloudwatch.Alarm:
    return cloudwatch.Alarm(
        scope,
        name,
        alarm_description=f"{function.title}: {alarm.on.value.format(alarm.threshold)}",
        metric=metric_of(alarm, function, log_metrics),
        threshold=threshold_of(alarm, function),
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluation_periods=alarm.periods,
        datapoints_to_alarm=alarm.periods_to_alarm,
        # No request, no trouble.
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
