"""OpenTelemetry traces over OTLP, in the trace that the caller began. Needs the extra ``otlp``.

The exporter reads the standard variables, ``OTEL_EXPORTER_OTLP_ENDPOINT`` among them
(https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
"""

from __future__ import annotations

import time

from inference_runtime.errors import InvalidSettings
from inference_runtime.settings import invocation_trace

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    raise InvalidSettings(
        "INFERENCE_TRACES is otlp, but OpenTelemetry is not installed; install"
        " inference-runtime[otlp]"
    ) from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace.export import SpanExporter

    from inference_runtime.exchange import Exchange
    from inference_runtime.routing import Route
    from inference_runtime.settings import Settings

_NANOSECONDS_PER_SECOND = 1_000_000_000


class Traces:
    """One span for each request that ran, and within it one for each of its parts.

    Spans are made from the measured times once the request is over, so tracing adds nothing to
    the request itself. On Lambda those of a request are sent before its answer, because the
    process is frozen between requests; elsewhere many are sent at once.

    Args:
        settings: of this process.
        exporter: sends the spans; OTLP over HTTP by default.
    """

    def __init__(self, settings: Settings, exporter: SpanExporter | None = None) -> None:
        resource = Resource.create({"service.name": settings.model_name})
        self._provider = TracerProvider(resource=resource)
        exporter = exporter or OTLPSpanExporter()
        self._frozen_between_requests = settings.lambda_memory_mb is not None
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("inference_runtime")
        self._propagator = TraceContextTextMapPropagator()

    def observe(self, exchange: Exchange) -> None:
        """Make the spans of one request."""
        if exchange.batch_size is None or exchange.entry is None:
            return
        parts = {
            name: int(spent * _NANOSECONDS_PER_SECOND)
            for name, spent in exchange.watch.seconds.items()
        }
        end = time.time_ns()
        start = end - sum(parts.values())
        span = self._tracer.start_span(
            "infer",
            context=self._propagator.extract(_caller(exchange.request.headers)),
            kind=SpanKind.SERVER,
            start_time=start,
            attributes={
                "http.response.status_code": exchange.reply.status,
                "inference.model": exchange.entry.name,
                "inference.model_version": exchange.entry.version,
                "inference.batch_size": exchange.batch_size,
                "inference.request_id": exchange.request.request_id,
            },
        )
        if exchange.error is not None and exchange.error.fault == "server":
            span.set_status(StatusCode.ERROR, str(exchange.error))
        within = set_span_in_context(span)
        for name, nanoseconds in parts.items():
            part = self._tracer.start_span(name, context=within, start_time=start)
            start += nanoseconds
            part.end(start)
        span.end(end)
        if self._frozen_between_requests and span.get_span_context().trace_flags.sampled:
            self._provider.force_flush()

    def routes(self) -> list[Route]:
        """None: traces are pushed."""
        return []

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _caller(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The caller's span as W3C has it: its own header's, or on AWS Lambda that of the invocation.

    X-Ray: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    if "traceparent" in headers:
        return headers
    pairs = (field.partition("=") for field in invocation_trace().split(";"))
    fields = {name: value for name, _, value in pairs}
    version, _, trace_id = fields.get("Root", "").partition("-")
    if version != "1" or "Parent" not in fields:
        return headers
    sampled = fields.get("Sampled", "0")
    return {"traceparent": f"00-{trace_id.replace('-', '')}-{fields['Parent']}-0{sampled}"}
