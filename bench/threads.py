"""Latency by the quota of processor time: this runtime's threads against onnxruntime's default.

One process after the other answers for a few seconds under a cgroup quota, in turns; the tables
show all runs of all rounds. Both run the same file with the same engine, onnxruntime's Python
package: they differ in their threads alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles

from bench import models
from bench.quota import quota
from bench.report import Chart, Section, Table

PROGRAM = Path(__file__).parent / "starts" / "latency.py"
MODELS = {"resnet18": "ResNet-18, 47 MB", "minilm": "MiniLM encoder, 90 MB"}
# Of 512, 1,024 and 1,769 MB on AWS Lambda; and what containers are given.
VCPUS = (0.29, 0.58, 1.0, 1.5, 2.0, 4.0)
WAYS = ("default", "ours")
ROUNDS = 3
SECONDS = 3
SHORT = {"ROUNDS": 1, "SECONDS": 0.5, "VCPUS": (0.58,)}


def measure() -> Section:
    """Run every model under every quota that this machine has processors for."""
    shares = [share for share in VCPUS if share <= len(os.sched_getaffinity(0))]
    tables, charts = [], []
    for model, title in MODELS.items():
        runs = {share: found for share in shares if (found := _measure(model, share))}
        tables.append(_table(title, runs))
        lines = {
            way: {str(share): round(median(ways[way]), 2) for share, ways in runs.items()}
            for way in WAYS
        }
        charts.append(Chart(f"Latency by quota: {title}", "p50, ms", lines, "vCPU"))
    tables[-1].note = (
        (__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip()
        if tables[-1].rows
        else "This machine lets no quota be set: that takes root, and a writable cgroup hierarchy."
    )
    return Section("Threads", tables, [chart for chart in charts if chart.values["ours"]])


def _measure(model: str, share: float) -> dict[str, list[float]] | None:
    """Milliseconds by way; ``None`` where no quota can be set."""
    runs: dict[str, list[float]] = {way: [] for way in WAYS}
    with quota(share) as prefix:
        if prefix is None:
            return None
        for _ in range(ROUNDS):
            for way in WAYS:
                command = [sys.executable, str(PROGRAM), way, models.path_of(model), str(SECONDS)]
                ran = subprocess.run(
                    [*prefix, *command], check=True, capture_output=True, text=True
                )
                runs[way] += json.loads(ran.stdout)
    return runs


def _table(title: str, runs: dict[float, dict[str, list[float]]]) -> Table:
    rows = []
    for share, ways in runs.items():
        base = median(ways["default"])
        for way, some in ways.items():
            rows.append(
                [
                    f"{share}, {way}",
                    f"{median(some):.1f}",
                    f"{median(some) / base:.2f}",
                    f"{quantiles(some, n=20)[-1]:.1f}",
                    f"{len(some)}",
                ]
            )
    return Table(title, ["vCPU, threads", "p50 ms", "of the default's", "p95 ms", "runs"], rows)
