"""Time series of Cloud Monitoring, as dashboards and alert policies ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from cdk_inference.gcp.watched_service import WatchedService


class Metric(StrEnum):
    """What Cloud Run measures: https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run"""

    REQUESTS = "run.googleapis.com/request_count"
    LATENCIES = "run.googleapis.com/request_latencies"
    INSTANCES = "run.googleapis.com/container/instance_count"
    STARTUP_LATENCIES = "run.googleapis.com/container/startup_latencies"
    BILLABLE_TIME = "run.googleapis.com/container/billable_instance_time"
    CPU = "run.googleapis.com/container/cpu/utilizations"
    MEMORY = "run.googleapis.com/container/memory/utilizations"
    GPU = "run.googleapis.com/container/gpu/utilizations"
    GPU_MEMORY = "run.googleapis.com/container/gpu/memory_utilizations"


class By(StrEnum):
    """What one line of a chart stands for."""

    REVISION = "resource.label.revision_name"
    STATUS = "metric.label.response_code_class"
    STATE = "metric.label.state"
    MODEL_VERSION = "metric.label.model_version"
    ERROR = "metric.label.error"


@dataclass(frozen=True)
class TimeSeries:
    """A metric of a service, in one line or several.

    Attributes:
        metric: its type.
        aligner: what a period of one series becomes.
        reducer: what several series become.
        by: keeps series apart; all are one without it.
        condition: leaves others out, in the language of monitoring filters.
    """

    metric: str
    aligner: str
    reducer: str
    by: By | None = None
    condition: str = ""

    @classmethod
    def rate(cls, metric: str, by: By | None = None, condition: str = "") -> TimeSeries:
        """How often each second, or how much."""
        return cls(metric, "ALIGN_RATE", "REDUCE_SUM", by, condition)

    @classmethod
    def total(cls, metric: str, condition: str = "") -> TimeSeries:
        """How many in a period."""
        return cls(metric, "ALIGN_DELTA", "REDUCE_SUM", None, condition)

    @classmethod
    def percentile(cls, metric: str, percent: int, by: By | None = None) -> TimeSeries:
        """Of the values of all series together, so that a rare one does not decide."""
        return cls(metric, "ALIGN_DELTA", f"REDUCE_PERCENTILE_{percent}", by)

    def filter(self, service: WatchedService) -> str:
        """What selects it.

        Example:
            >>> series.filter(WatchedService("digits", "europe-west1"))
            'metric.type = "…" AND resource.type = "cloud_run_revision" AND …'
        """
        parts = [
            f'metric.type = "{self.metric}"',
            'resource.type = "cloud_run_revision"',
            f'resource.label.service_name = "{service.name}"',
            f'resource.label.location = "{service.region}"',
        ]
        return " AND ".join([*parts, self.condition] if self.condition else parts)

    def shown(self, service: WatchedService, seconds: int) -> dict[str, Any]:
        """As a dashboard has it.

        Args:
            service: whose.
            seconds: of a period.
        """
        return {
            "filter": self.filter(service),
            "aggregation": {
                "alignmentPeriod": f"{seconds}s",
                "perSeriesAligner": self.aligner,
                "crossSeriesReducer": self.reducer,
                "groupByFields": [] if self.by is None else [str(self.by)],
            },
        }

    def aggregation(self, alerts: ModuleType, seconds: int, prefix: str = "") -> Any:
        """As an alert policy has it.

        Args:
            alerts: the provider's module ``monitoring_alert_policy``.
            seconds: of a period.
            prefix: ``Denominator``, for what the rest is a share of.
        """
        block = f"MonitoringAlertPolicyConditionsConditionThreshold{prefix}Aggregations"
        return getattr(alerts, block)(
            alignment_period=f"{seconds}s",
            per_series_aligner=self.aligner,
            cross_series_reducer=self.reducer,
            group_by_fields=[] if self.by is None else [str(self.by)],
        )
