"""Sees how a service does: a dashboard, alerts, objectives, and what its log tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.cloud_run import CloudRun
from cdk_inference.gcp.service_alert import check_alerts, condition, default_alerts
from cdk_inference.gcp.service_dashboard import dashboard
from cdk_inference.gcp.service_log_metrics import ServiceLogMetrics
from cdk_inference.gcp.service_objective import ServiceObjective, monitored_service
from cdk_inference.gcp.watched_service import WatchedService
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from cdk_inference.gcp.service_alert import ServiceAlert

_BURN_WINDOW: Final = "3600s"
# An incident that nobody closed is over when its condition has not held for a day.
_CLOSED_AFTER: Final = "86400s"


class ServiceMonitoring(Construct):
    """A dashboard, alerts, a service level objective and log-based metrics for one service.

    They read what Cloud Run measures anyway and the lines that the runtime logs, so nothing is
    added to a request. Cloud Run's metrics are told by revision, so that two that share the
    requests can be compared; the log's by model version. It works for any Cloud Run service that
    runs this runtime, also one of another app: name it with :class:`WatchedService`.

    Cloud Run's own metrics, dashboards and objectives cost nothing; the log-based metrics cost what
    is ingested of them, and each alert's condition has a price for each month:
    https://cloud.google.com/stackdriver/pricing

    Args:
        service: what is watched.
        channels: who is told: notification channels by their names, such as those of
            :class:`MailChannels`. Default: nobody; incidents are seen only in the console.
        alerts: beside the default ones, or in the place of that with the same name; ``None``
            leaves that one out. Default: ``Errors`` above 1 % of the requests, ``Latency`` (p99)
            above 80 % of the timeout, ``Instances`` above 80 % of those that may run, ``Startup``
            (p95) above 80 % of the time that a start may take, ``GpuMemory`` above 95 %, as far as
            those are known.
        objectives: by name, with an alert each on how fast the errors that are allowed are used up.
            Default: ``Availability``, 99.5 % of the requests over 28 days.

    Attributes:
        dashboard: the ``google_monitoring_dashboard``.
        log_metrics: what the runtime's log tells.
        alerts: the ``google_monitoring_alert_policy`` of each alert, by name.
        objectives: the ``google_monitoring_slo`` of each objective, by name.

    Raises:
        ConfigurationError: a threshold out of its range, or an alert on what is not known.

    Example:
        >>> monitoring = ServiceMonitoring(
        ...     stack, "Monitoring", service=service, channels=oncall.names
        ... )
    """

    dashboard: Final[Any]
    log_metrics: Final[ServiceLogMetrics]
    alerts: Final[Mapping[str, Any]]
    objectives: Final[Mapping[str, Any]]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: CloudRun | WatchedService,
        channels: Sequence[str] = (),
        alerts: Mapping[str, ServiceAlert | None] | None = None,
        objectives: Mapping[str, ServiceObjective] | None = None,
    ) -> None:
        super().__init__(scope, id)
        bindings = bindings_of(self)
        watched = WatchedService.of(service) if isinstance(service, CloudRun) else service
        named = {**default_alerts(watched), **(alerts or {})}
        wanted = {name: alert for name, alert in named.items() if alert is not None}
        promised = {"Availability": ServiceObjective()} if objectives is None else objectives

        problems = Problems(self.node.path)
        check_alerts(wanted, watched, problems)
        for name, objective in promised.items():
            objective.check(name, problems)
        problems.raise_if_any()

        self.log_metrics = ServiceLogMetrics(self, "LogMetrics", service=watched)
        content = dashboard(f"{watched.name}: inference", watched, self.log_metrics)
        self.dashboard = bindings.google("monitoring_dashboard").MonitoringDashboard(
            self, "Dashboard", dashboard_json=json.dumps(content)
        )
        policies = bindings.google("monitoring_alert_policy")
        # Names are the user's, so both have scopes to themselves.
        alerts_scope = Construct(self, "Alerts")
        self.alerts = {
            name: _policy(
                alerts_scope,
                name,
                policies,
                title=f"{watched.name}: {name}",
                text=alert.text,
                condition=condition(alert, watched, self.log_metrics, policies),
                channels=channels,
            )
            for name, alert in wanted.items()
        }
        objectives_scope = Construct(self, "Objectives")
        self.objectives = self._objectives(objectives_scope, promised, watched)
        burns_scope = Construct(self, "Burns")
        for name, objective in promised.items():
            text = (
                f"In an hour, the errors that the objective {name} allows were used up more than"
                f" {objective.fastest_burn:g} times as fast as would just do."
            )
            _policy(
                burns_scope,
                name,
                policies,
                title=f"{watched.name}: {name} is at risk",
                text=text,
                condition=_burn(policies, objective, self.objectives[name], text),
                channels=channels,
            )

    def _objectives(
        self, scope: Construct, promised: Mapping[str, ServiceObjective], watched: WatchedService
    ) -> dict[str, Any]:
        if not promised:
            return {}
        monitored = monitored_service(self, watched)
        return {name: objective.slo(scope, name, monitored) for name, objective in promised.items()}


def _policy(
    scope: Construct,
    name: str,
    policies: ModuleType,
    *,
    title: str,
    text: str,
    condition: Any,
    channels: Sequence[str],
) -> Any:
    return policies.MonitoringAlertPolicy(
        scope,
        name,
        display_name=title,
        combiner="OR",
        conditions=[condition],
        notification_channels=list(channels),
        documentation=policies.MonitoringAlertPolicyDocumentation(
            content=text, mime_type="text/markdown"
        ),
        alert_strategy=policies.MonitoringAlertPolicyAlertStrategy(auto_close=_CLOSED_AFTER),
    )


def _burn(policies: ModuleType, objective: ServiceObjective, slo: Any, text: str) -> Any:
    return policies.MonitoringAlertPolicyConditions(
        display_name=text,
        condition_threshold=policies.MonitoringAlertPolicyConditionsConditionThreshold(
            filter=f'select_slo_burn_rate("{slo.name}", "{_BURN_WINDOW}")',
            comparison="COMPARISON_GT",
            threshold_value=objective.fastest_burn,
            duration="0s",
        ),
    )
