"""Metrics that Cloud Logging counts in a service's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdk_inference.contract import LOG_REQUEST, LogField
from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.naming import unique_name
from cdk_inference.limits import GOOGLE_LOG_METRIC_NAME_LENGTH
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from cdk_inference.gcp.watched_service import WatchedService

_MODEL: Final = (LogField.MODEL, LogField.MODEL_VERSION)
# From a tenth of a millisecond to a good minute, each bucket a quarter larger than the last.
_FIRST_BOUND_MS: Final = 0.1
_GROWTH: Final = 1.25
_BUCKETS: Final = 60


class ServiceLogMetrics(Construct):
    """Metrics from the lines that the runtime logs, by model and version.

    Cloud Run itself knows neither. They count from when they are there, not what was logged before.
    Each is paid for as samples that are ingested: https://cloud.google.com/stackdriver/pricing

    Args:
        service: whose log it is.

    Attributes:
        cold_starts: the type of the metric that counts predictions that waited for a start.
        errors: that counts errors by their code.
        run_time: that has the distribution of the milliseconds that the model ran.
    """

    cold_starts: Final[str]
    errors: Final[str]
    run_time: Final[str]

    def __init__(self, scope: Construct, id: str, *, service: WatchedService) -> None:
        super().__init__(scope, id)
        self._service = service
        self._module = bindings_of(self).google("logging_metric")
        self.cold_starts = self._counter(
            "ColdStarts",
            f"{_payload(LogField.COLD_START)} = true",
            "Predictions that waited for a start",
            _MODEL,
        )
        self.errors = self._counter(
            "Errors",
            f"{_payload(LogField.ERROR)}:*",
            "Requests that were answered with an error",
            (*_MODEL, LogField.ERROR, LogField.FAULT),
        )
        self.run_time = self._metric(
            "RunTime",
            f"{_payload(LogField.RUN_MS)}:*",
            _MODEL,
            _descriptor(self._module, "Milliseconds that the model ran", _MODEL, unit="ms"),
            value_extractor=f"EXTRACT({_payload(LogField.RUN_MS)})",
            bucket_options=self._module.LoggingMetricBucketOptions(
                exponential_buckets=self._module.LoggingMetricBucketOptionsExponentialBuckets(
                    num_finite_buckets=_BUCKETS, growth_factor=_GROWTH, scale=_FIRST_BOUND_MS
                )
            ),
        )

    def _counter(self, id: str, condition: str, title: str, labels: Sequence[LogField]) -> str:
        return self._metric(id, condition, labels, _descriptor(self._module, title, labels))

    def _metric(
        self, id: str, condition: str, labels: Sequence[LogField], descriptor: Any, **options: Any
    ) -> str:
        """Count the lines of requests for which ``condition`` holds; the type of the metric."""
        conditions = [
            'resource.type="cloud_run_revision"',
            f'resource.labels.service_name="{self._service.name}"',
            f'resource.labels.location="{self._service.region}"',
            f'{_payload(LogField.MESSAGE)}="{LOG_REQUEST}"',
            condition,
        ]
        metric = self._module.LoggingMetric(
            self,
            id,
            name=f"{unique_name(self, GOOGLE_LOG_METRIC_NAME_LENGTH - len(id) - 1)}/{id}",
            filter=" AND ".join(conditions),
            metric_descriptor=descriptor,
            label_extractors={str(label): f"EXTRACT({_payload(label)})" for label in labels},
            **options,
        )
        return f"logging.googleapis.com/user/{metric.name}"


def _payload(field: LogField) -> str:
    return f"jsonPayload.{field}"


def _descriptor(
    module: ModuleType, title: str, labels: Sequence[LogField], *, unit: str = "1"
) -> Any:
    """A distribution if the values have a unit, else a count."""
    return module.LoggingMetricMetricDescriptor(
        metric_kind="DELTA",
        value_type="INT64" if unit == "1" else "DISTRIBUTION",
        unit=unit,
        display_name=title,
        labels=[
            module.LoggingMetricMetricDescriptorLabels(key=str(label), value_type="STRING")
            for label in labels
        ],
    )
