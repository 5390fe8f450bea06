"""AWS Lambda's clients side by side: ours and ``awslambdaric``, against one Runtime API.

The start is from before the process exists to the first answer that it posts, each round once for
every client, in fresh processes one after the other; tables show medians over the rounds. Processor
time is the client's, and what a busy machine changes least. Memory is what the processes of one
function hold together (PSS: shared pages are counted once) when each of eight concurrent
invocations was answered.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench import models
from bench.report import Chart, Section, Table
from bench.requests import SEED, lambda_event, request_body
from tests.contract.runtime_api import AWSLAMBDARIC, LOOP, PREFIX, RuntimeApi

ROUNDS = 21
STARTED = {"mlp": "perceptron, 1 MB", "resnet18": "ResNet-18, 47 MB"}
TEXTBOOK = ("-m", "awslambdaric", "bench.starts.lambda_textbook.handler")
CLIENTS = {
    "awslambdaric, textbook handler": TEXTBOOK,
    "awslambdaric, our handler": AWSLAMBDARIC,
    "our loop": LOOP,
}
BASELINE = "awslambdaric, our handler"
CONCURRENCY = 8
WARM_CALLS = 300


class Process(NamedTuple):
    """A client that runs."""

    api: RuntimeApi
    pid: int


class Times(NamedTuple):
    """Of a start or an invocation, in milliseconds.

    Attributes:
        passed: on the clock.
        processors: used by the client's process.
    """

    passed: float
    processors: float


def measure() -> Section:
    """Start every client on every model, ask it again, and weigh it under concurrency."""
    tables, ratios = [], {}
    for model, title in STARTED.items():
        starts = _starts(model)
        tables.append(_times_table(f"Start to first answer: {title}", starts, 0))
        ratios[f"start, {title}"] = _ratio({n: t.passed for n, t in starts.items()})
    warm = _warm()
    tables.append(_times_table("One invocation after the other: perceptron, 1 MB", warm, 3))
    ratios["one invocation, 1 MB"] = _ratio({name: times.passed for name, times in warm.items()})
    memory = _memory()
    title = f"{CONCURRENCY} invocations at the same time: perceptron, 52 MB"
    rows = [[name, f"{mb:.0f}", f"{mb / memory[BASELINE]:.2f}"] for name, mb in memory.items()]
    note = (__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip()
    tables.append(Table(title, ["client", "MB, PSS", f"of {BASELINE}"], rows, note))
    ratios[f"memory, {CONCURRENCY} at the same time"] = _ratio(memory)
    chart = Chart("Our loop on AWS Lambda", f"of {BASELINE}", ratios)
    return Section("AWS Lambda's Runtime API", tables, [chart])


def _starts(model: str) -> dict[str, Times]:
    event = lambda_event(request_body(model))
    measured: dict[str, list[Times]] = {name: [] for name in CLIENTS}
    for round_ in range(ROUNDS + 1):
        for name, client in CLIENTS.items():
            times = _start(client, model, event)
            if round_:  # The first compiles bytecode and fills the page cache.
                measured[name].append(times)
    return {name: _median(values) for name, values in measured.items()}


def _start(client: tuple[str, ...], model: str, event: Any) -> Times:
    began = time.perf_counter()
    with _running(client, model) as process:
        _answer(process.api, event)
        passed = (time.perf_counter() - began) * 1000
        return Times(passed, _processor_ms(process.pid))


def _warm() -> dict[str, Times]:
    """From an event's hand-over to its answer, client and Runtime API together."""
    event = lambda_event(request_body("mlp"))
    measured: dict[str, list[Times]] = {name: [] for name in CLIENTS}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(_running(client, "mlp")) for name, client in CLIENTS.items()
        }
        for call in range(WARM_CALLS + 1):
            for name, process in processes.items():
                used = _processor_ms(process.pid)
                began = time.perf_counter()
                _answer(process.api, event)
                passed = (time.perf_counter() - began) * 1000
                if call:  # The first waits for the start.
                    measured[name].append(Times(passed, _processor_ms(process.pid) - used))
    return {name: _median(values) for name, values in measured.items()}


def _memory() -> dict[str, float]:
    draw = random.Random(SEED)
    event = lambda_event(json.dumps({"features": [draw.random() for _ in range(1024)]}).encode())
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


def _processor_ms(pid: int) -> float:
    """Of all of a process's threads, those that have ended too."""
    clock = (~pid << 3) | 2  # what clock_getcpuclockid(3) gives for a process
    return time.clock_gettime(clock) * 1000


def _median(values: list[Times]) -> Times:
    return Times(median(v.passed for v in values), median(v.processors for v in values))


def _ratio(values: dict[str, float]) -> float:
    return round(values["our loop"] / values[BASELINE], 3)


def _times_table(title: str, values: dict[str, Times], digits: int) -> Table:
    base = values[BASELINE]
    rows = [
        [
            name,
            f"{times.passed:.{digits}f}",
            f"{times.passed / base.passed:.2f}",
            f"{times.processors:.{digits}f}",
            f"{times.processors / base.processors:.2f}",
        ]
        for name, times in values.items()
    ]
    of_base = f"of {BASELINE}"
    return Table(title, ["client", "ms", of_base, "processor ms", of_base], rows)
