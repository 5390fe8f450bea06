"""The same application on each ASGI server: why `inference-runtime serve` runs the one it does.

Each server has one core and the load generator the other; medians over interleaved rounds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import peers
from bench.peers import OPEN_INFERENCE, Peer
from bench.report import Section, Table
from bench.serving import CLIENT_CPU, CONNECTIONS, MODEL, ROUNDS, SECONDS, SERVER_CPU
from bench.wrk import Load, load

SERVERS = (
    peers.OURS,
    Peer(
        "uvicorn (httptools, uvloop)", "asgi",
        "uvicorn serve:app --http httptools --loop uvloop --lifespan off --ws none"
        " --no-access-log --port {port}", OPEN_INFERENCE,
    ),
    Peer(
        "uvicorn (h11, asyncio)", "asgi",
        "uvicorn serve:app --http h11 --loop asyncio --lifespan off --ws none"
        " --no-access-log --port {port}", OPEN_INFERENCE,
    ),
    Peer(
        "granian", "asgi",
        "granian serve:app --interface asginl --loop uvloop --workers 1 --no-ws --port {port}",
        OPEN_INFERENCE,
    ),
    Peer(
        "hypercorn (uvloop)", "asgi",
        "hypercorn serve:app --worker-class uvloop --workers 1 --bind 127.0.0.1:{port}",
        OPEN_INFERENCE,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One load of one server.

    Attributes:
        load: what the generator saw.
        cpu_microseconds: the server's processor time for each request; steadier than the rest on a
            machine that others use too.
    """

    load: Load
    cpu_microseconds: float


def measure() -> Section:
    """Run all servers, round by round."""
    pixels = json.loads((MODEL.parent / "samples.json").read_text())[3]["pixels"]
    runs: dict[tuple[str, int], list[Run]] = {}
    for _ in range(ROUNDS):
        for server in SERVERS:
            request = peers.body(server, pixels)
            with peers.running(server, MODEL, request, SERVER_CPU) as (url, _):
                load(url, request, connections=8, seconds=1, cpus=CLIENT_CPU)  # warm up
                for connections in CONNECTIONS:
                    run = _run(url, request, connections)
                    runs.setdefault((server.name, connections), []).append(run)
    tables = [_table(runs, connections) for connections in CONNECTIONS]
    return Section("The application on each ASGI server", tables)


def _run(url: str, request: bytes, connections: int) -> Run:
    before = _children_cpu_seconds()
    seen = load(url, request, connections=connections, seconds=SECONDS, cpus=CLIENT_CPU)
    spent = _children_cpu_seconds() - before
    return Run(seen, 1e6 * spent / (seen.requests_per_second * SECONDS))


def _children_cpu_seconds() -> float:
    """Processor time of the sessions that this process started: proc(5), stat."""
    processes = [_stat(folder) for folder in Path("/proc").glob("[0-9]*")]
    leaders = {fields["pid"] for fields in processes if fields["parent"] == os.getpid()}
    ticks = sum(fields["ticks"] for fields in processes if fields["session"] in leaders)
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(folder: Path) -> dict[str, int]:
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # It ended meanwhile.
        return {"pid": 0, "parent": 0, "session": 0, "ticks": 0}
    return {
        "pid": int(folder.name),
        "parent": int(fields[1]),
        "session": int(fields[3]),
        "ticks": int(fields[11]) + int(fields[12]),
    }


def _table(runs: dict[tuple[str, int], list[Run]], connections: int) -> Table:
    def middle(name: str, figure: Callable[[Run], float]) -> float:
        return median(map(figure, runs[name, connections]))

    ours = middle(peers.OURS.name, lambda run: run.cpu_microseconds)
    rows = [
        [
            server.name,
            f"{middle(server.name, lambda run: run.load.requests_per_second):,.0f}",
            f"{middle(server.name, lambda run: run.load.p99_ms):.1f}",
            f"{middle(server.name, lambda run: run.cpu_microseconds):.0f}",
            f"{middle(server.name, lambda run: run.cpu_microseconds) / ours:.2f}",
        ]
        for server in SERVERS
    ]
    header = ["server", "requests/s", "p99 ms", "CPU µs a request", "theirs / ours"]
    return Table(f"{connections} connections", header, rows)
