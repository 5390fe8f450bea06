"""Requests per second and latency over HTTP, ours against its peers, on a tiny model.

Each server has one core and the load generator the other. Rounds go through all servers in turn,
so that a change of the machine's speed meets all alike; the table shows medians over the rounds.
"""

from __future__ import annotations

import json
from statistics import median

from bench import peers
from bench.report import ROOT, Chart, Section, Table
from bench.wrk import Load, load

MODEL = ROOT / "models" / "digits" / "digits.onnx"
CONNECTIONS = (1, 8, 64)
ROUNDS = 3
SECONDS = 3
SERVER_CPU, CLIENT_CPU = "0", "1"

Runs = dict[tuple[str, int], list[Load]]


def measure() -> Section:
    """Run all servers, round by round."""
    samples = json.loads((MODEL.parent / "samples.json").read_text())
    pixels = samples[3]["pixels"]
    runs: Runs = {}
    starts: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for peer in peers.PEERS:
            request = peers.body(peer, pixels)
            with peers.running(peer, MODEL, request, SERVER_CPU) as (url, started):
                starts.setdefault(peer.name, []).append(started)
                load(url, request, connections=8, seconds=1, cpus=CLIENT_CPU)  # warm up
                for connections in CONNECTIONS:
                    result = load(
                        url, request, connections=connections, seconds=SECONDS, cpus=CLIENT_CPU
                    )
                    runs.setdefault((peer.name, connections), []).append(result)
    return Section(
        "Serving over HTTP",
        [_table(runs, connections) for connections in CONNECTIONS] + [_start_table(starts)],
        [
            Chart(
                f"Digits model, {CONNECTIONS[-1]} connections, one core",
                "requests/s",
                {peer.name: round(_rate(runs, peer.name, CONNECTIONS[-1])) for peer in peers.PEERS},
            )
        ],
    )


def _table(runs: Runs, connections: int) -> Table:
    ours = _rate(runs, peers.OURS.name, connections)
    rows = []
    for peer in peers.PEERS:
        loads = runs[peer.name, connections]
        rate = _rate(runs, peer.name, connections)
        rows.append(
            [
                peer.name,
                f"{rate:,.0f}",
                f"{ours / rate:.1f}",
                f"{median(r.p50_ms for r in loads):.2f}",
                f"{median(r.p99_ms for r in loads):.2f}",
                str(sum(r.errors for r in loads)),
            ]
        )
    header = ["server", "requests/s", "ours is × faster", "p50 ms", "p99 ms", "errors"]
    noun = "connection" if connections == 1 else "connections"
    return Table(f"{connections} {noun}", header, rows)


def _start_table(starts: dict[str, list[float]]) -> Table:
    ours = median(starts[peers.OURS.name])
    rows = [
        [name, f"{median(seconds):.2f}", f"{ours / median(seconds):.2f}"]
        for name, seconds in starts.items()
    ]
    header = ["server", "seconds", "ours / theirs"]
    return Table("From process start to the first prediction", header, rows)


def _rate(runs: Runs, name: str, connections: int) -> float:
    return median(run.requests_per_second for run in runs[name, connections])
