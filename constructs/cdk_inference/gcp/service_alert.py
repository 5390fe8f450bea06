"""What may go wrong with a service, as alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.gcp.time_series import Metric, TimeSeries
from cdk_inference.limits import CLOUD_MONITORING_WINDOW

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from cdk_inference.gcp.service_log_metrics import ServiceLogMetrics
    from cdk_inference.gcp.watched_service import WatchedService
    from cdk_inference.validation import Problems

_SERVER_ERRORS: Final = 'metric.label.response_code_class = "5xx"'
_FIVE_MINUTES: Final = timedelta(minutes=5)


class AlertOn(Enum):
    """What an alert watches, and in its value what that alert says.

    Example:
        >>> ServiceAlert(AlertOn.LATENCY, 50)
    """

    REQUESTS = "more than {:g} requests came each second"

    ERRORS = "more than {:g} % of the requests failed"
    """Answers of 500 and above; callers' mistakes are none."""

    LATENCY = "the slowest 1 % of the requests took more than {:g} % of the timeout"

    INSTANCES = "more than {:g} % of the instances that may run were running"

    STARTUP = "the slowest 5 % of the starts took more than {:g} % of the time they have"

    GPU_UTILIZATION = "a GPU was more than {:g} % busy"
    """The 95th percentile, of the busiest instance."""

    GPU_MEMORY = "more than {:g} % of a GPU's memory was in use"
    """The 95th percentile, of the instance with the least left."""

    BILLABLE_TIME = "more than {:g} seconds of instances were billed each second"

    COLD_STARTS = "more than {:g} % of the requests started cold"
    """By what the runtime logs."""


_PERCENTAGES: Final = frozenset(AlertOn) - {AlertOn.REQUESTS, AlertOn.BILLABLE_TIME}


@dataclass(frozen=True)
class ServiceAlert:
    """An alert: it is told when a value is above a threshold.

    Attributes:
        on: what it watches.
        threshold: what is too much, in the unit of ``on``.
        window: over which a value is taken: a minute to a day, in whole minutes. Default: 5
            minutes.

    Example:
        >>> ServiceAlert(AlertOn.LATENCY, 50, window=timedelta(minutes=15))
    """

    on: AlertOn
    threshold: float
    window: timedelta = _FIVE_MINUTES

    @property
    def text(self) -> str:
        """What it says."""
        minutes = self.window.total_seconds() / 60
        return f"For {minutes:g} minutes, {self.on.value.format(self.threshold)}."


DEFAULT_ALERTS: Final[Mapping[str, ServiceAlert]] = {
    "Errors": ServiceAlert(AlertOn.ERRORS, 1),
    "Latency": ServiceAlert(AlertOn.LATENCY, 80),
    "Instances": ServiceAlert(AlertOn.INSTANCES, 80),
    "Startup": ServiceAlert(AlertOn.STARTUP, 80),
    "GpuMemory": ServiceAlert(AlertOn.GPU_MEMORY, 95),
}


def default_alerts(service: WatchedService) -> dict[str, ServiceAlert]:
    """Those of the default alerts for which enough is known of ``service``."""
    return {
        name: alert
        for name, alert in DEFAULT_ALERTS.items()
        if _missing_fact(alert.on, service) is None
    }


def check_alerts(
    alerts: Mapping[str, ServiceAlert], service: WatchedService, problems: Problems
) -> None:
    """Record whatever cannot be an alert on ``service``."""
    for name, alert in alerts.items():
        if missing := _missing_fact(alert.on, service):
            problems.add(
                f"alert {name!r} is on {alert.on.name}",
                allowed=f"that needs {missing}, which is not known here",
                remedy="tell it with WatchedService(…), or leave the alert out",
            )
        if alert.threshold < 0 or (alert.on in _PERCENTAGES and alert.threshold >= 100):
            problems.add(
                f"alert {name!r} has the threshold {alert.threshold:g}",
                allowed="it is told above that, so a rate may be 0 or more, and a percentage 0 to"
                " less than 100",
                remedy="choose a number in that range",
            )
        minutes = alert.window.total_seconds() / 60
        problems.check_within(f"the window of alert {name!r}", minutes, CLOUD_MONITORING_WINDOW)


def condition(
    alert: ServiceAlert,
    service: WatchedService,
    logged: ServiceLogMetrics,
    module: ModuleType,
) -> Any:
    """When ``alert`` is told, as a block of the provider's module ``monitoring_alert_policy``."""
    seconds = int(alert.window.total_seconds())
    series, whole = _series(alert.on, logged)
    threshold = module.MonitoringAlertPolicyConditionsConditionThreshold(
        filter=series.filter(service),
        aggregations=[series.aggregation(module, seconds)],
        denominator_filter=whole and whole.filter(service),
        denominator_aggregations=whole and [whole.aggregation(module, seconds, "Denominator")],
        comparison="COMPARISON_GT",
        threshold_value=_threshold(alert, service),
        duration="0s",
    )
    return module.MonitoringAlertPolicyConditions(
        display_name=alert.text, condition_threshold=threshold
    )


def _series(on: AlertOn, logged: ServiceLogMetrics) -> tuple[TimeSeries, TimeSeries | None]:
    """What is watched, and what it is a share of, if Cloud Monitoring is to divide."""
    match on:
        case AlertOn.REQUESTS:
            return TimeSeries.rate(Metric.REQUESTS), None
        case AlertOn.ERRORS:
            return TimeSeries.total(Metric.REQUESTS, _SERVER_ERRORS), TimeSeries.total(
                Metric.REQUESTS
            )
        case AlertOn.LATENCY:
            return TimeSeries.percentile(Metric.LATENCIES, 99), None
        case AlertOn.INSTANCES:
            # The means of active and idle ones add up, their greatest values do not.
            return TimeSeries(Metric.INSTANCES, "ALIGN_MEAN", "REDUCE_SUM"), None
        case AlertOn.STARTUP:
            return TimeSeries.percentile(Metric.STARTUP_LATENCIES, 95), None
        case AlertOn.GPU_UTILIZATION:
            return TimeSeries(Metric.GPU, "ALIGN_PERCENTILE_95", "REDUCE_MAX"), None
        case AlertOn.GPU_MEMORY:
            return TimeSeries(Metric.GPU_MEMORY, "ALIGN_PERCENTILE_95", "REDUCE_MAX"), None
        case AlertOn.BILLABLE_TIME:
            return TimeSeries.rate(Metric.BILLABLE_TIME), None
        case AlertOn.COLD_STARTS:
            return TimeSeries.total(logged.cold_starts), TimeSeries.total(Metric.REQUESTS)


def _threshold(alert: ServiceAlert, service: WatchedService) -> float:
    """The threshold in the unit of the series: milliseconds, instances, a share, or as it is."""
    share = alert.threshold / 100
    match alert.on:
        case AlertOn.LATENCY if service.timeout is not None:
            return share * service.timeout.total_seconds() * 1000
        case AlertOn.STARTUP if service.startup is not None:
            return share * service.startup.total_seconds() * 1000
        case AlertOn.INSTANCES if service.max_instances is not None:
            return share * service.max_instances
        case AlertOn.REQUESTS | AlertOn.BILLABLE_TIME:
            return alert.threshold
        case _:
            return share


def _missing_fact(on: AlertOn, service: WatchedService) -> str | None:
    """What it needs to know, if that is not known."""
    match on:
        case AlertOn.LATENCY if service.timeout is None:
            return "the service's timeout"
        case AlertOn.STARTUP if service.startup is None:
            return "how long a start may take (startup)"
        case AlertOn.INSTANCES if service.max_instances is None:
            return "the service's max_instances"
        case AlertOn.GPU_MEMORY | AlertOn.GPU_UTILIZATION if not service.has_gpu:
            return "a GPU (has_gpu)"
        case _:
            return None
