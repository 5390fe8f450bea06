"""From the start of a process to its first answer: this runtime against the textbook handler.

Each round starts every contender once, in fresh processes one after the other, so that a change of
the machine's speed meets all alike; the tables show medians over the rounds. The page cache is
warm. The textbook takes onnxruntime's default number of threads, ours the runtime's own choice.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import models
from bench.report import Chart, Section, Table

PROGRAMS = Path(__file__).parent / "starts"
MODELS = {
    "mlp": "perceptron, 1 MB",
    "resnet18": "ResNet-18, 47 MB",
    "minilm": "MiniLM encoder, 90 MB",
    "bert": "BERT-base encoder, 436 MB",
}
ROUNDS = 11
TOKENS = 16
SEED = 20261122
ANSWER = re.compile(rb'"(predictions|outputs)":')
NOTE = (
    "stock and capi are this runtime with either engine; engine is capi alone, on zeros, without"
    " JSON and without an answer. Anonymous memory is what no file backs, when the answer is out."
    " System calls and files opened are counted by strace in a start of their own; a thread that"
    " loads the model calls mprotect for each page that its heap grows."
)


class Contender(NamedTuple):
    """A program of ``starts/``, and what its environment adds."""

    program: str
    environ: dict[str, str]


CONTENDERS = {
    "textbook": Contender("textbook", {}),
    "stock": Contender("runtime", {"INFERENCE_ENGINE": "stock"}),
    "capi": Contender("runtime", {"INFERENCE_ENGINE": "capi"}),
    "engine": Contender("engine", {}),
}
BASELINE = next(iter(CONTENDERS))


class Start(NamedTuple):
    """What one cold start took."""

    milliseconds: float
    anonymous_mb: float


class Calls(NamedTuple):
    """What one cold start asked of the kernel."""

    syscalls: int
    files_opened: int


def measure() -> Section:
    """Start every contender on every model."""
    tables, ratios = [], {}
    for model, title in MODELS.items():
        starts, calls = _measure(model)
        tables.append(_table(title, starts, calls))
        ratios[title] = round(_milliseconds(starts["capi"]) / _milliseconds(starts[BASELINE]), 3)
    tables[-1].note = NOTE
    chart = Chart("Cold start to the first answer, capi", "of the textbook handler's time", ratios)
    return Section("Cold start", tables, [chart])


def request_body(model: str) -> bytes:
    """A request that ``model`` answers, in the simple form."""
    draw = random.Random(SEED)

    def numbers(*shape: int) -> object:
        if not shape:
            return round(draw.uniform(-2, 2), 4)
        return [numbers(*shape[1:]) for _ in range(shape[0])]

    if model == "mlp":
        return json.dumps({"features": numbers(256)}).encode()
    if model == "resnet18":
        return json.dumps({"features": numbers(3, 224, 224)}).encode()
    inputs = {
        "input_ids": [[draw.randrange(1000, 30000) for _ in range(TOKENS)]],
        "attention_mask": [[1] * TOKENS],
        "token_type_ids": [[0] * TOKENS],
    }
    return json.dumps({"inputs": inputs}).encode()


def _measure(model: str) -> tuple[dict[str, list[Start]], dict[str, Calls | None]]:
    path = models.path_of(model)
    with TemporaryDirectory() as folder:
        body = Path(folder, "body.json")
        body.write_bytes(request_body(model))
        for contender in CONTENDERS.values():
            _start(contender, path, body)  # compiles bytecode and fills the page cache
        starts: dict[str, list[Start]] = {name: [] for name in CONTENDERS}
        for _ in range(ROUNDS):
            for name, contender in CONTENDERS.items():
                starts[name].append(_start(contender, path, body))
        calls = {
            name: _count_calls(contender, path, body, Path(folder, "trace"))
            for name, contender in CONTENDERS.items()
        }
    return starts, calls


def _start(contender: Contender, model: Path, body: Path) -> Start:
    """One cold start, from before the process exists to its answer."""
    reading, writing = os.pipe()
    began = time.perf_counter()
    with subprocess.Popen(
        _command(contender, model, body, writing), env=os.environ | contender.environ,
        pass_fds=[writing], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    ) as process, os.fdopen(reading, "rb") as answers:  # fmt: skip
        os.close(writing)
        answer = answers.readline()
        milliseconds = (time.perf_counter() - began) * 1000
        if not ANSWER.search(answer):
            raise SystemExit(f"{contender.program} did not answer: {answer!r}")
        return Start(milliseconds, _anonymous_mb(process.pid))


def _command(contender: Contender, model: Path, body: Path, answer_fd: int) -> list[str]:
    program = PROGRAMS / f"{contender.program}.py"
    return [sys.executable, str(program), str(model), str(body), str(answer_fd)]


def _anonymous_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this kernel does not tell RssAnon")


def _count_calls(contender: Contender, model: Path, body: Path, trace: Path) -> Calls | None:
    """``None`` where strace is not installed."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    with Path(os.devnull).open("wb") as nowhere:
        subprocess.run(
            [strace, "-f", "-o", str(trace), *_command(contender, model, body, nowhere.fileno())],
            env=os.environ | contender.environ, pass_fds=[nowhere.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    calls = [line for line in trace.read_text(errors="replace").splitlines() if "(" in line]
    opened = re.compile(r" open(at)?\(.* = \d+$")
    return Calls(len(calls), sum(bool(opened.search(call)) for call in calls))


def _milliseconds(starts: list[Start]) -> float:
    return median(start.milliseconds for start in starts)


def _table(title: str, starts: dict[str, list[Start]], calls: dict[str, Calls | None]) -> Table:
    baseline = _milliseconds(starts[BASELINE])
    rows = []
    for name, some in starts.items():
        counted = calls[name]
        rows.append(
            [
                name,
                f"{_milliseconds(some):.0f}",
                f"{_milliseconds(some) / baseline:.2f}",
                f"{median(start.anonymous_mb for start in some):.0f}",
                f"{counted.syscalls:,}" if counted else "–",
                f"{counted.files_opened:,}" if counted else "–",
            ]
        )
    header = ["way", "ms", f"of the {BASELINE}'s", "anonymous MB", "system calls", "files opened"]
    return Table(title, header, rows)
