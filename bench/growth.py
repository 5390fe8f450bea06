"""How the server's figures grow: with connections, with the payload, and with the batch."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from bench import peers
from bench.overhead import copy_model
from bench.report import Chart, Section, Table
from bench.serving import CLIENT_CPU, MODEL, SERVER_CPU
from bench.wrk import Load, load

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FLOATS = (4, 64, 1_024, 16_384, 150_528)
BATCHES = (1, 4, 16, 64, 256)
ROUNDS = 3
SECONDS = 2


def measure() -> Section:
    """Grow each in turn, several times over."""
    samples = json.loads((MODEL.parent / "samples.json").read_text())
    pixels = samples[3]["pixels"]
    request = peers.body(peers.OURS, pixels)
    with peers.running(peers.OURS, MODEL, request, SERVER_CPU) as (url, _):
        connections = _grow({c: (url, request, c) for c in CONNECTIONS})
        batches = _grow({b: (url, _batch(pixels, b), 1) for b in BATCHES})
    with TemporaryDirectory() as folder:
        path = Path(folder, "copy.onnx")
        onnx.save(copy_model(), path)
        bodies = {count: _floats(count) for count in FLOATS}
        with peers.running(peers.OURS, path, bodies[FLOATS[0]], SERVER_CPU) as (url, _):
            payloads = _grow({count: (url, body, 1) for count, body in bodies.items()})
    return Section(
        "Growth",
        [
            _table("Connections", "connections", connections),
            _table("Payload: floats in and out, as JSON", "floats", payloads),
            _table("Batch: images in one request", "rows", batches),
        ],
        [
            _chart("Requests per second against connections", "requests/s", "connections",
                   {c: load.requests_per_second for c, load in connections.items()}),
            _chart("Latency against payload", "p50, ms", "floats in and out",
                   {f: load.p50_ms for f, load in payloads.items()}),
            _chart("Latency against batch size", "p50, ms", "rows",
                   {b: load.p50_ms for b, load in batches.items()}),
        ],
    )  # fmt: skip


def _grow(cases: dict[int, tuple[str, bytes, int]]) -> dict[int, Load]:
    """The median run of each case, by requests per second, over rounds that take turns."""
    loads: dict[int, list[Load]] = {size: [] for size in cases}
    for _ in range(ROUNDS):
        for size, (url, body, connections) in cases.items():
            loads[size].append(
                load(url, body, connections=connections, seconds=SECONDS, cpus=CLIENT_CPU)
            )
    return {size: _middle(runs) for size, runs in loads.items()}


def _middle(runs: list[Load]) -> Load:
    rate = median(run.requests_per_second for run in runs)
    return next(run for run in runs if run.requests_per_second == rate)


def _table(title: str, what: str, loads: dict[int, Load]) -> Table:
    rows = [
        [f"{size:,}", f"{run.requests_per_second:,.0f}", f"{run.p50_ms:.2f}", f"{run.p99_ms:.2f}",
         str(run.errors)]
        for size, run in loads.items()
    ]  # fmt: skip
    return Table(title, [what, "requests/s", "p50 ms", "p99 ms", "errors"], rows)


def _chart(title: str, unit: str, x: str, points: dict[int, float]) -> Chart:
    return Chart(title, unit, {"ours": {str(size): value for size, value in points.items()}}, x)


def _batch(pixels: list[float], rows: int) -> bytes:
    tensor = {"name": "pixels", "shape": [rows, 64], "datatype": "FP32", "data": [pixels] * rows}
    return json.dumps({"inputs": [tensor]}).encode()


def _floats(count: int) -> bytes:
    data = np.random.default_rng(1).random(count, np.float32).tolist()
    tensor = {"name": "x", "shape": [1, count], "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()
