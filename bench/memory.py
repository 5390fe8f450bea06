"""How much memory a model takes in this runtime, and how much work its start, against its size.

`cdk_inference/memory.py` and `cdk_inference/aws/initialization.py` have their figures from here.
Each model is started in a fresh process on one thread, answers, packs whatever it packs afterwards,
and tells its peak: what it takes above the same start of a model of next to nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import models
from bench.cold_start import PROGRAMS
from bench.report import Section, Table
from bench.requests import ANSWER, request_body

MODELS = {
    "mlp52": "dense layers",
    "resnet18": "ResNet-18",
    "wide_resnet": "ResNet-18, twice as wide",
    "minilm": "MiniLM encoder",
    "bert": "BERT-base encoder",
}
EMPTY = "mlp"
PROFILES = ("cold", "throughput", "memory")
ROUNDS = 3
NOTE = (
    "Peak is VmHWM when the weights are packed too, mapped files included. Start is the processor's"
    " time until the first answer, which a busy machine changes least. Both are less those of the"
    " smallest model, which are in the last row of each profile. Packing takes the memory; the"
    " profile memory leaves it out where the engine can. One thread, the page cache warm."
)


class Run(NamedTuple):
    """What one process took."""

    peak_mb: float
    seconds: float


def measure() -> Section:
    """Start every model with every profile."""
    rows = []
    for profile in PROFILES:
        empty = _median_run(EMPTY, profile)
        for name, title in MODELS.items():
            size_mb = models.path_of(name).stat().st_size / 2**20
            run = _median_run(name, profile)
            peak, seconds = run.peak_mb - empty.peak_mb, run.seconds - empty.seconds
            rows.append(
                [f"{title}, {profile}", f"{size_mb:.0f}", f"{peak:.0f}", f"{peak / size_mb:.2f}",
                 f"{seconds * 1000:.0f}", f"{seconds * 1000 / size_mb:.2f}"]
            )  # fmt: skip
        rows.append([f"the smallest, {profile}", "1", f"{empty.peak_mb:.0f}", "–",
                     f"{empty.seconds * 1000:.0f}", "–"])  # fmt: skip
    header = ["model, profile", "file, MB", "peak, MB", "of the file", "start, ms", "ms a MB"]
    return Section("Memory of a model", [Table("Above the smallest model", header, rows, NOTE)])


def _median_run(model: str, profile: str) -> Run:
    runs = [_run(model, profile) for _ in range(ROUNDS)]
    return Run(median(run.peak_mb for run in runs), median(run.seconds for run in runs))


def _run(model: str, profile: str) -> Run:
    with TemporaryDirectory() as folder:
        body = Path(folder, "body.json")
        body.write_bytes(request_body(model))
        reading, writing = os.pipe()
        command = [sys.executable, str(PROGRAMS / "runtime.py"), str(models.path_of(model)),
                   str(body), str(writing)]  # fmt: skip
        environ = {"INFERENCE_PROFILE": profile, "INFERENCE_THREADS": "1"}
        with subprocess.Popen(
            command, env=os.environ | environ, pass_fds=[writing], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as process, os.fdopen(reading, "rb") as answers:  # fmt: skip
            os.close(writing)
            answer = answers.readline()
            seconds = _processor_seconds(process.pid)
            if not ANSWER.search(answer):
                raise SystemExit(f"{model} did not answer: {answer!r}")
            return Run(_settled_peak_mb(process.pid), seconds)


def _settled_peak_mb(pid: int) -> float:
    """The peak once the process has done nothing for a while."""
    before = -1.0
    while (busy := _processor_seconds(pid)) != before:
        before = busy
        time.sleep(0.5)
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this kernel does not tell VmHWM")


def _processor_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
