"""Prometheus metrics, for hosts that are scraped. Needs the extra ``prometheus``."""

from __future__ import annotations

from inference_runtime.errors import InvalidSettings
from inference_runtime.messages import Reply
from inference_runtime.routing import Route

try:
    import prometheus_client
except ImportError:
    raise InvalidSettings(
        "INFERENCE_METRICS is prometheus, but prometheus-client is not installed; install"
        " inference-runtime[prometheus]"
    ) from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.exchange import Exchange

_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip


class PrometheusMetrics:
    """Counts requests and times their parts, in a registry of its own.

    The labels are the model, its version, and either the outcome or the part: all few.
    """

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        self._requests = prometheus_client.Counter(
            "inference_requests",
            "Requests by outcome: ok, or the error's code",
            ("model", "version", "outcome"),
            registry=self.registry,
        )
        self._seconds = prometheus_client.Histogram(
            "inference_part_seconds",
            "Time of each part of a request: queue, decode, run, encode",
            ("model", "version", "part"),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def observe(self, exchange: Exchange) -> None:
        """Count one request that asked for a model."""
        entry = exchange.entry
        if entry is None:
            return
        outcome = "ok" if exchange.error is None else exchange.error.code
        self._requests.labels(entry.name, entry.version, outcome).inc()
        for part, spent in exchange.watch.seconds.items():
            self._seconds.labels(entry.name, entry.version, part).observe(spent)

    def routes(self) -> list[Route]:
        """``GET /metrics``."""
        return [Route("GET", "/metrics", self.metrics)]

    def close(self) -> None:
        """Nothing: metrics are scraped."""

    def metrics(self, _exchange: Exchange) -> Reply:
        """All metrics in Prometheus' text format."""
        text = prometheus_client.generate_latest(self.registry)
        return Reply(200, {"content-type": prometheus_client.CONTENT_TYPE_LATEST}, text)
