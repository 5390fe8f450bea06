"""From the start of a process to its first answer, on AWS Lambda's Runtime API: this runtime, as it
is packaged, against the textbook handler.

Each round starts every contender once, in fresh processes one after the other, so that a change of
the machine's speed meets all alike; the tables show medians over the rounds. The page cache is
warm. Nobody's interpreter looks into a virtual environment, and all bytecode is there.
"""

from __future__ import annotations

import marshal
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple
from zipfile import ZipFile

from cdk_inference.artifact import code_archive, dependencies_archive
from cdk_inference.packages import PackageTarget

from bench import models, optimised
from bench.quota import quota
from bench.report import ROOT, Chart, Section, Table
from bench.requests import TOKENS, lambda_event, request_body
from tests.contract.runtime_api import LOOP, RuntimeApi

PROGRAMS = Path(__file__).parent / "starts"
MODELS = {
    "mlp": "perceptron, 1 MB",
    "resnet18": "ResNet-18, 47 MB",
    "minilm": "MiniLM encoder, 90 MB",
    "bert": "BERT-base encoder, 436 MB",
}
ROUNDS = 9
SHORT = {"ROUNDS": 1, "MODELS": {"mlp": MODELS["mlp"]}}
# A function of 1,024 MB.
LAMBDA_MB = 1024
SHARE = LAMBDA_MB / 1769
TEXTBOOK = ("-m", "awslambdaric", "bench.starts.lambda_textbook.handler")
BASELINE, OURS, FLOOR = "textbook", "ours, optimised", "floor"
ANSWERED = re.compile(r"/invocation/id/response|predictions")
NOTE = (
    "The textbook's handler runs in awslambdaric, with onnxruntime's defaults; beside boto3, it"
    " makes a client of Amazon S3 first. Ours is the runtime's own loop, from the files of a zip;"
    " optimised, with the folder that `inference-runtime optimize` wrote (ResNet-18 with the"
    " candidate layout). The floor is the interpreter, onnxruntime's library, the optimised model"
    " mapped, and one run on zeros. Anonymous memory is what no file backs, when the answer is out."
    " System calls and files opened until then are counted by strace in a start of their own."
)


class Contender(NamedTuple):
    """A way to start, and whether the model is the optimised one."""

    command: tuple[str, ...]
    path: str
    optimised: bool = False


class Start(NamedTuple):
    """What one cold start took."""

    milliseconds: float
    anonymous_mb: float


class Calls(NamedTuple):
    """What one cold start asked of the kernel."""

    syscalls: int
    files_opened: int


def measure() -> Section:
    """Start every contender on every model, with all processors and with a share of one."""
    tables, charts = [], []
    with TemporaryDirectory() as folder:
        contenders = _contenders(Path(folder))
        for title, vcpus in (("", 0.0), (f", {SHARE:.2f} vCPU", SHARE)):
            ratios = {}
            for model, name in MODELS.items():
                starts = _measure(contenders, model, vcpus)
                if starts is None:
                    break
                calls = None if vcpus else _count_all_calls(contenders, model)
                tables.append(_table(name + title, starts, calls))
                ratios[name] = round(_ms(starts[OURS]) / _ms(starts[BASELINE]), 3)
            else:
                what = f"Cold start to the first answer{title}"
                charts.append(Chart(what, "of the textbook handler's time", ratios))
    tables[-1].note = NOTE
    return Section("Cold start", tables, charts)


def paths(folder: Path) -> tuple[str, str]:
    """What the interpreter's path is for the others, and for ours: its artifact, unpacked into
    ``folder``."""
    here = PackageTarget.host()
    for archive in (code_archive(here.python_version), dependencies_archive(here)):
        with ZipFile(archive.path) as content:
            content.extractall(folder)
    return f"{ROOT}:{sysconfig.get_path('purelib')}", f"{folder}:{folder / 'python'}"


def _contenders(folder: Path) -> dict[str, Contender]:
    """The ways to start."""
    theirs, ours = paths(folder)
    with_boto3 = (*TEXTBOOK[:-1], "bench.starts.lambda_textbook_boto3.handler")
    return {
        BASELINE: Contender(TEXTBOOK, theirs),
        "textbook beside boto3": Contender(with_boto3, theirs),
        "ours": Contender(LOOP, ours),
        OURS: Contender(LOOP, ours, optimised=True),
        FLOOR: Contender((str(PROGRAMS / "floor.py"),), ours, optimised=True),
    }


def _measure(
    contenders: dict[str, Contender], model: str, vcpus: float
) -> dict[str, list[Start]] | None:
    """``None`` where this machine does not let a share of a processor be set."""
    starts: dict[str, list[Start]] = {name: [] for name in contenders}
    with quota(vcpus) if vcpus else _all_processors() as prefix:
        if prefix is None:
            return None
        for round_ in range(ROUNDS + 1):
            for name, contender in contenders.items():
                start = _start(contender, model, prefix)
                if round_:  # The first compiles bytecode and fills the page cache.
                    starts[name].append(start)
    return starts


@contextmanager
def _all_processors() -> Iterator[tuple[str, ...] | None]:
    yield ()


def _start(contender: Contender, model: str, prefix: tuple[str, ...]) -> Start:
    """One cold start, from before the process exists to its answer."""
    if contender.command[0].endswith(".py"):
        return _start_floor(contender, model, prefix)
    event = lambda_event(request_body(model))
    began = time.perf_counter()
    with _running(contender, model, prefix) as (api, process):
        outcome = api.invoke(event, "id")
        milliseconds = (time.perf_counter() - began) * 1000
        anonymous_mb = _anonymous_mb(process.pid)
    if outcome.payload.get("statusCode") != 200:
        raise SystemExit(f"{contender.command} did not answer: {outcome.payload}")
    return Start(milliseconds, anonymous_mb)


@contextmanager
def _running(
    contender: Contender, model: str, prefix: tuple[str, ...]
) -> Iterator[tuple[RuntimeApi, subprocess.Popen[bytes]]]:
    api = RuntimeApi()
    environ = {
        "MODEL_URI": str(_model(contender, model)),
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "PYTHONPATH": contender.path,
        **({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(LAMBDA_MB)} if "/bin/sh" in prefix else {}),
    }
    process = subprocess.Popen(
        [*prefix, sys.executable, "-S", *contender.command], env=environ, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield api, process
    finally:
        os.kill(_traced(process.pid) or process.pid, signal.SIGKILL)
        process.wait()  # strace ends after what it traced, and then its file is whole.
        api.close()


def _traced(pid: int) -> int | None:
    """The process that strace has started."""
    if Path(f"/proc/{pid}/comm").read_text().strip() != "strace":
        return None
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _start_floor(contender: Contender, model: str, prefix: tuple[str, ...]) -> Start:
    reading, writing = os.pipe()
    began = time.perf_counter()
    with subprocess.Popen(
        [*prefix, sys.executable, "-S", *_floor(contender, model, writing)],
        env={"PYTHONPATH": contender.path}, pass_fds=[writing],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    ) as process, os.fdopen(reading, "rb") as answers:  # fmt: skip
        os.close(writing)
        if not answers.readline():
            raise SystemExit("the floor did not answer")
        return Start((time.perf_counter() - began) * 1000, _anonymous_mb(process.pid))


def _floor(contender: Contender, model: str, answer_fd: int) -> list[str]:
    columns = {"mlp": 256, "resnet18": 224}.get(model, TOKENS)
    folder = _model(contender, model).parent
    places = marshal.dumps(optimised.weights(folder)).hex()
    file = optimised.served_file(folder)
    return [*contender.command, str(file), str(answer_fd), str(columns), places]


def _model(contender: Contender, model: str) -> Path:
    if contender.optimised:
        return optimised.folder_of(model) / "model.onnx"
    return models.path_of(model)


def _anonymous_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this kernel does not tell RssAnon")


def _count_all_calls(contenders: dict[str, Contender], model: str) -> dict[str, Calls] | None:
    """``None`` where strace is not installed."""
    if shutil.which("strace") is None:
        return None
    return {name: _count_calls(contender, model) for name, contender in contenders.items()}


def _count_calls(contender: Contender, model: str) -> Calls:
    with TemporaryDirectory() as folder:
        trace = Path(folder, "trace")
        strace = ("strace", "-f", "-s", "64", "-o", str(trace))
        _start(contender, model, strace)
        lines = trace.read_text(errors="replace").splitlines()
    answered = next(n for n, line in enumerate(lines) if ANSWERED.search(line))
    calls = [line for line in lines[:answered] if "(" in line and "resumed>" not in line]
    opened = re.compile(r" open(at)?\(.* = \d+$")
    return Calls(len(calls), sum(bool(opened.search(call)) for call in calls))


def _ms(starts: list[Start]) -> float:
    return median(start.milliseconds for start in starts)


def _table(title: str, starts: dict[str, list[Start]], calls: dict[str, Calls] | None) -> Table:
    baseline, floor = _ms(starts[BASELINE]), _ms(starts[FLOOR])
    rows = []
    for name, some in starts.items():
        row = [
            name,
            f"{_ms(some):.0f}",
            f"{_ms(some) / baseline:.2f}",
            f"{_ms(some) / floor:.2f}",
            f"{min(start.milliseconds for start in some):.0f}",
            f"{median(start.anonymous_mb for start in some):.0f}",
        ]
        if calls:
            row += [f"{calls[name].syscalls:,}", f"{calls[name].files_opened:,}"]
        rows.append(row)
    header = ["way", "ms", f"of the {BASELINE}'s", "of the floor", "fastest", "anonymous MB"]
    return Table(title, header + (["system calls", "files opened"] if calls else []), rows)
