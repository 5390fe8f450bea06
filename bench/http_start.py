"""From the start of a server's process to its first prediction over HTTP, on four models.

Ours serves what ``inference-runtime optimize`` made of each model without changing its answers, the
others the model itself with onnxruntime's defaults: what their tutorials say.
"""

from __future__ import annotations

from statistics import median

from bench import models, optimised, peers
from bench.cold_start import MODELS
from bench.report import Chart, Section, Table
from bench.requests import request_body

SERVERS = (peers.TEXTBOOK, peers.FASTAPI, peers.OURS_SIMPLE)
ROUNDS = 7


def measure() -> Section:
    """Start every server on every model, in turns."""
    tables, ratios = [], {}
    for model, title in MODELS.items():
        seconds = _measure(model)
        tables.append(_table(title, seconds))
        ratios[title] = round(seconds[peers.OURS_SIMPLE.name] / seconds[peers.TEXTBOOK.name], 3)
    chart = Chart("Process start to the first HTTP 200", "of the textbook server's time", ratios)
    return Section("Cold start over HTTP", tables, [chart])


def _measure(model: str) -> dict[str, float]:
    """Median seconds of each server; a round before the first fills caches and is not counted."""
    seconds: dict[str, list[float]] = {server.name: [] for server in SERVERS}
    for number in range(ROUNDS + 1):
        for server in SERVERS:
            ours = not server.folder
            path = optimised.folder_of(model) / "model.onnx" if ours else models.path_of(model)
            with peers.running(server, path, request_body(model)) as (_, started):
                if number:
                    seconds[server.name].append(started)
    return {name: median(some) for name, some in seconds.items()}


def _table(title: str, seconds: dict[str, float]) -> Table:
    rows = [
        [name, f"{taken * 1000:.0f}"]
        + [f"{taken / seconds[other.name]:.2f}" for other in (peers.TEXTBOOK, peers.FASTAPI)]
        for name, taken in seconds.items()
    ]
    return Table(title, ["server", "ms", "of the textbook's", "of FastAPI's"], rows)
