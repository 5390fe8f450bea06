"""AWS Lambda's clients side by side: ours and ``awslambdaric``, against one Runtime API.

The start is from before the process exists to the first answer that it posts, each round once for
every client, in fresh processes one after the other; tables show medians over the rounds. Memory is
what the processes of one function hold together (PSS: shared pages are counted once) when each of
eight concurrent invocations was answered.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench import models
from bench.cold_start import SEED, request_body
from bench.report import Chart, Section, Table
from tests.contract.runtime_api import AWSLAMBDARIC, LOOP, PREFIX, RuntimeApi

ROUNDS = 15
STARTED = {"mlp": "perceptron, 1 MB", "resnet18": "ResNet-18, 47 MB"}
TEXTBOOK = ("-m", "awslambdaric", "bench.starts.lambda_textbook.handler")
CLIENTS = {
    "awslambdaric, textbook handler": TEXTBOOK,
    "awslambdaric, our handler": AWSLAMBDARIC,
    "our loop": LOOP,
}
CONCURRENCY = 8
WARM_CALLS = 300


class Process(NamedTuple):
    """A client that runs."""

    api: RuntimeApi
    pid: int


def measure() -> Section:
    """Start every client on every model, ask it again, and weigh it under concurrency."""
    tables, ratios = [], {}
    for model, title in STARTED.items():
        starts = _starts(model)
        tables.append(_table(f"Start to first answer: {title}", "ms", starts, 0))
        baseline = starts["awslambdaric, our handler"]
        ratios[f"start, {title}"] = round(starts["our loop"] / baseline, 3)
    warm = _warm()
    tables.append(_table("One invocation after the other: perceptron, 1 MB", "µs", warm, 0))
    memory = _memory()
    title = f"{CONCURRENCY} invocations at the same time: perceptron, 52 MB"
    tables.append(_table(title, "MB, PSS", memory, 0))
    tables[-1].note = __doc__.split("\n\n", 1)[1].replace("\n", " ")
    for name, values in (("one invocation", warm), ("memory, 8 at the same time", memory)):
        ratios[name] = round(values["our loop"] / values["awslambdaric, our handler"], 3)
    chart = Chart("Our loop on AWS Lambda", "of awslambdaric with our handler", ratios)
    return Section("AWS Lambda's Runtime API", tables, [chart])


def _starts(model: str) -> dict[str, float]:
    event = _event(request_body(model))
    measured: dict[str, list[float]] = {name: [] for name in CLIENTS}
    for round_ in range(ROUNDS + 1):
        for name, client in CLIENTS.items():
            milliseconds = _start(client, model, event)
            if round_:  # The first compiles bytecode and fills the page cache.
                measured[name].append(milliseconds)
    return {name: median(values) for name, values in measured.items()}


def _start(client: tuple[str, ...], model: str, event: Any) -> float:
    began = time.perf_counter()
    with _running(client, model) as process:
        _answer(process.api, event)
        return (time.perf_counter() - began) * 1000


def _warm() -> dict[str, float]:
    """Microseconds from an event's hand-over to its answer, client and Runtime API together."""
    event = _event(request_body("mlp"))
    measured = {}
    for name, client in CLIENTS.items():
        with _running(client, "mlp") as process:
            times = []
            for _ in range(WARM_CALLS):
                began = time.perf_counter()
                _answer(process.api, event)
                times.append((time.perf_counter() - began) * 1e6)
            measured[name] = median(times)
    return measured


def _memory() -> dict[str, float]:
    draw = random.Random(SEED)
    event = _event(json.dumps({"features": [draw.random() for _ in range(1024)]}).encode())
    measured = {}
    for name, client in CLIENTS.items():
        with _running(client, "mlp52", AWS_LAMBDA_MAX_CONCURRENCY=str(CONCURRENCY)) as process:
            _wait_for_workers(process.api)
            for index in range(CONCURRENCY):
                process.api.put(event, f"id-{index}")
            for _ in range(CONCURRENCY):
                _check(process.api.outcome())
            measured[name] = sum(map(_pss_mb, _tree(process.pid)))
    return measured


@contextmanager
def _running(client: tuple[str, ...], model: str, **environ: str) -> Iterator[Process]:
    api = RuntimeApi()
    environ |= {
        "MODEL_URI": str(models.path_of(model)),
        "AWS_LAMBDA_RUNTIME_API": api.address,
    }
    process = subprocess.Popen(
        [sys.executable, *client],
        env=os.environ | environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Process(api, process.pid)
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        api.close()


def _event(body: bytes) -> Any:
    """A function URL's."""
    http = {"method": "POST", "path": "/predict"}
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": "/predict", "rawQueryString": "",
        "headers": {"content-type": "application/json"}, "isBase64Encoded": False,
        "requestContext": {"http": http, "stage": "$default"}, "body": body.decode(),
    }  # fmt: skip


def _answer(api: RuntimeApi, event: Any) -> None:
    _check(api.invoke(event, "id"))


def _check(outcome: Any) -> None:
    if outcome.payload.get("statusCode") != 200:
        raise SystemExit(f"no prediction: {outcome.payload}")


def _wait_for_workers(api: RuntimeApi) -> None:
    """Until each of them waits for an event, so that each gets one."""
    end = time.monotonic() + 60
    while api.requests.count(f"GET {PREFIX}/invocation/next") < CONCURRENCY:
        if time.monotonic() > end:
            raise SystemExit("not every worker came")
        time.sleep(0.05)


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [pid, *(below for child in children for below in _tree(child))]


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this kernel does not tell Pss")


def _table(title: str, unit: str, values: dict[str, float], digits: int) -> Table:
    baseline = values["awslambdaric, our handler"]
    rows = [
        [name, f"{value:,.{digits}f}", f"{value / baseline:.2f}"] for name, value in values.items()
    ]
    return Table(title, ["client", unit, "of awslambdaric, our handler"], rows)
