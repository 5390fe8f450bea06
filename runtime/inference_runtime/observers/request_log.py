"""One JSON line for each prediction and each error; with EMF in it, CloudWatch's metrics too."""

from __future__ import annotations

import time

from inference_runtime.telemetry import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from inference_runtime.exchange import Exchange
    from inference_runtime.routing import Route

EMF_NAMESPACE: Final = "InferenceRuntime"

_DIGEST_LENGTH = 12


class RequestLog:
    """Writes the lines. Requests that asked no model, as health probes, leave none.

    Args:
        level: ``all``, or ``errors`` for those alone.
        model_sha256: the model's digest, to be told in each line; empty when unknown.
        emf: whether each line is also a metric in CloudWatch's embedded metric format
            (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
    """

    def __init__(self, level: str, model_sha256: str, *, emf: bool) -> None:
        self._errors_only = level == "errors"
        self._digest = {"model_digest": model_sha256[:_DIGEST_LENGTH]} if model_sha256 else {}
        self._emf = emf

    def observe(self, exchange: Exchange) -> None:
        """Write the line of one request."""
        ran = exchange.batch_size is not None
        if exchange.error is None and (self._errors_only or not ran):
            return
        fields: dict[str, object] = {
            "request_id": exchange.request.request_id,
            "status": exchange.reply.status,
            "cold_start": exchange.cold_start,
            **exchange.watch.milliseconds,
            **self._model(exchange),
            **_error(exchange),
        }
        if self._emf and ran:
            fields["_aws"] = _emf_metadata(exchange.watch.milliseconds)
        log("INFO" if exchange.reply.status < 500 else "ERROR", "request", **fields)

    def routes(self) -> list[Route]:
        """None: the log is read elsewhere."""
        return []

    def close(self) -> None:
        """Nothing: each line is written at once."""

    def _model(self, exchange: Exchange) -> dict[str, object]:
        if exchange.entry is None:
            return {}
        model = {"model": exchange.entry.name, "model_version": exchange.entry.version}
        batch = {} if exchange.batch_size is None else {"batch_size": exchange.batch_size}
        return {**model, **self._digest, **batch}


def _error(exchange: Exchange) -> dict[str, object]:
    error = exchange.error
    if error is None:
        return {}
    return {"error": error.code, "fault": error.fault, "detail": str(error)}


def _emf_metadata(milliseconds: dict[str, float]) -> dict[str, object]:
    """Only the model and its version are dimensions: each further one is a metric to pay for."""
    metrics = [{"Name": name, "Unit": "Milliseconds"} for name in milliseconds]
    return {
        "Timestamp": int(time.time() * 1000),
        "CloudWatchMetrics": [
            {
                "Namespace": EMF_NAMESPACE,
                "Dimensions": [["model", "model_version"]],
                "Metrics": [*metrics, {"Name": "batch_size", "Unit": "Count"}],
            }
        ],
    }
