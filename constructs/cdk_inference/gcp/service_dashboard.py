"""How a service does, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.gcp.time_series import By, Metric, TimeSeries

if TYPE_CHECKING:
    from datetime import timedelta

    from cdk_inference.gcp.service_log_metrics import ServiceLogMetrics
    from cdk_inference.gcp.watched_service import WatchedService

_PERIOD_SECONDS: Final = 60
_COLUMNS: Final = 48
_WIDTH: Final = 24
_HEIGHT: Final = 16


@dataclass(frozen=True)
class _Chart:
    """A chart.

    Attributes:
        title: with the unit.
        series: the lines.
        limit: a line that should not be reached.
    """

    title: str
    series: tuple[TimeSeries, ...]
    limit: float | None = None


def dashboard(title: str, service: WatchedService, logged: ServiceLogMetrics) -> dict[str, Any]:
    """The dashboard, as the API of Cloud Monitoring takes it.

    https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.dashboards

    Args:
        title: what it is called.
        service: what it shows.
        logged: what the runtime's log tells of it.
    """
    charts = _charts(service, logged)
    return {
        "displayName": title,
        "mosaicLayout": {
            "columns": _COLUMNS,
            "tiles": [_tile(index, chart, service) for index, chart in enumerate(charts)],
        },
    }


def _charts(service: WatchedService, logged: ServiceLogMetrics) -> list[_Chart]:
    timeout, startup = map(_milliseconds, (service.timeout, service.startup))
    return [
        _Chart("Requests by revision, 1/s", (TimeSeries.rate(Metric.REQUESTS, By.REVISION),)),
        _Chart("Requests by status, 1/s", (TimeSeries.rate(Metric.REQUESTS, By.STATUS),)),
        _Chart("Latency, p50, p95 and p99, ms", _percentiles(Metric.LATENCIES), timeout),
        _Chart(
            "Latency by revision, p99, ms",
            (TimeSeries.percentile(Metric.LATENCIES, 99, By.REVISION),),
        ),
        _Chart(
            "Instances by state",
            (TimeSeries(Metric.INSTANCES, "ALIGN_MEAN", "REDUCE_SUM", By.STATE),),
            service.max_instances,
        ),
        _Chart("Start, p50, p95 and p99, ms", _percentiles(Metric.STARTUP_LATENCIES), startup),
        _Chart(
            "Predictions that started cold, by model version, 1/s",
            (TimeSeries.rate(logged.cold_starts, By.MODEL_VERSION),),
        ),
        _Chart(
            "Run of the model by version, p50 and p99, ms",
            tuple(
                TimeSeries.percentile(logged.run_time, percent, By.MODEL_VERSION)
                for percent in (50, 99)
            ),
        ),
        _Chart("Errors by code, 1/s", (TimeSeries.rate(logged.errors, By.ERROR),)),
        _Chart(
            "Billable time by revision, s/s", (TimeSeries.rate(Metric.BILLABLE_TIME, By.REVISION),)
        ),
        _Chart("vCPUs and memory in use, p95", _busiest(Metric.CPU, Metric.MEMORY), 1),
        *(
            [_Chart("GPU and its memory in use, p95", _busiest(Metric.GPU, Metric.GPU_MEMORY), 1)]
            if service.has_gpu
            else []
        ),
    ]


def _milliseconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds() * 1000


def _percentiles(metric: Metric) -> tuple[TimeSeries, ...]:
    return tuple(TimeSeries.percentile(metric, percent) for percent in (50, 95, 99))


def _busiest(*metrics: Metric) -> tuple[TimeSeries, ...]:
    return tuple(TimeSeries(metric, "ALIGN_PERCENTILE_95", "REDUCE_MAX") for metric in metrics)


def _tile(index: int, chart: _Chart, service: WatchedService) -> dict[str, Any]:
    row, column = divmod(index, _COLUMNS // _WIDTH)
    return {
        "xPos": column * _WIDTH,
        "yPos": row * _HEIGHT,
        "width": _WIDTH,
        "height": _HEIGHT,
        "widget": {"title": chart.title, "xyChart": _xy_chart(chart, service)},
    }


def _xy_chart(chart: _Chart, service: WatchedService) -> dict[str, Any]:
    return {
        "dataSets": [_data_set(series, service) for series in chart.series],
        "thresholds": [] if chart.limit is None else [{"value": chart.limit}],
        "yAxis": {"scale": "LINEAR"},
    }


def _data_set(series: TimeSeries, service: WatchedService) -> dict[str, Any]:
    return {
        "plotType": "LINE",
        "timeSeriesQuery": {"timeSeriesFilter": series.shown(service, _PERIOD_SECONDS)},
    }
