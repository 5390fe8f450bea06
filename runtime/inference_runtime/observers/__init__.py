"""Who is told of each finished request: the log always, metrics and traces where asked for.

An observer is imported only when its setting is on: none may cost a start that does not want it.
"""

from __future__ import annotations

from inference_runtime.observers.request_log import RequestLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from inference_runtime.exchange import Exchange
    from inference_runtime.routing import Route
    from inference_runtime.settings import Settings

    class Observer(Protocol):
        """Is told of requests, from several threads."""

        def observe(self, exchange: Exchange) -> None:
            """Take note of a finished request."""

        def routes(self) -> list[Route]:
            """The paths where what was noted can be read."""

        def close(self) -> None:
            """Send what is left; the process ends."""


def create(settings: Settings) -> list[Observer]:
    """The observers that ``settings`` ask for.

    Raises:
        InvalidSettings: one of them is not installed; the message says how to.
    """
    observers: list[Observer] = [
        RequestLog(settings.request_log, settings.model_sha256, emf="emf" in settings.metrics)
    ]
    if "prometheus" in settings.metrics:
        from inference_runtime.observers.prometheus import PrometheusMetrics

        observers.append(PrometheusMetrics())
    if settings.traces == "otlp":
        from inference_runtime.observers.traces import Traces

        observers.append(Traces(settings))
    return observers
