"""How long an app takes to synthesize, by its number of functions.

Each app is made in a process of its own, as `cdk synth` does. What is packaged for Lambda is in the
cache already, so that nothing is downloaded; that it is staged once, whatever the number of
functions, is counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.report import ROOT, Chart, Section, Table

COUNTS = (1, 10, 100)
ROUNDS = 3
PROGRAM = """
import json, sys, time
import aws_cdk as cdk
from cdk_inference import InferenceModel, MLInferenceFunction, Packaging

count, model, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
began = time.perf_counter()
app = cdk.App(outdir=out)
digits = InferenceModel.from_file(model)
for number in range(count):
    if number % 20 == 0:
        stack = cdk.Stack(app, f"Stack{number}")
    function = MLInferenceFunction(
        stack, f"Digits{number}", model=digits, packaging=Packaging.ZIP
    )
    function.add_http_api()
made = time.perf_counter()
app.synth()
print(json.dumps([made - began, time.perf_counter() - made]))
"""


class Synth(NamedTuple):
    """What one app took, in seconds, and how many assets it has."""

    constructing: float
    synthesizing: float
    assets: int

    @property
    def seconds(self) -> float:
        """In all."""
        return self.constructing + self.synthesizing


def measure() -> Section:
    """Synthesize an app of each size, in turns."""
    runs: dict[int, list[Synth]] = {count: [] for count in COUNTS}
    _synthesize(1)  # fills the cache
    for _ in range(ROUNDS):
        for count in COUNTS:
            runs[count].append(_synthesize(count))
    fastest = {count: min(some, key=lambda run: run.seconds) for count, some in runs.items()}
    taken = {count: run.seconds for count, run in fastest.items()}
    rows, before = [], 0
    for count, run in fastest.items():
        further = (taken[count] - taken[before]) / (count - before) * 1000 if before else None
        rows.append(
            [
                str(count),
                f"{run.constructing:.2f}",
                f"{run.synthesizing:.2f}",
                f"{taken[count] / taken[before]:.1f}" if before else "–",
                "–" if further is None else f"{further:.0f}",
                str(run.assets),
            ]
        )
        before = count
    header = ["functions", "constructing, s", "synthesizing, s", "of the row above",
              "ms for each further function", "assets"]  # fmt: skip
    note = (
        "Each function has its version, alias, log group, role and an HTTP API; 20 share a stack."
        f" The fastest of {ROUNDS} rounds. Constructing includes the import of the CDK. Without the"
        " CDK's validator of templates. Assets are code, dependencies and model: packaged once,"
        " whatever the number."
    )
    chart = Chart("Time to synthesize", "s", {"ours": {str(c): t for c, t in taken.items()}},
                  "functions")  # fmt: skip
    return Section("Synthesis", [Table("Apps of many functions", header, rows, note)], [chart])


def _synthesize(count: int) -> Synth:
    model = ROOT / "models" / "digits" / "digits.onnx"
    with TemporaryDirectory() as folder:
        out = Path(folder, "cdk.out")
        finished = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(count), str(model), str(out)],
            cwd=ROOT, env=os.environ | {"CDK_VALIDATION": "false"}, check=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        constructing, synthesizing = json.loads(finished.stdout)
        return Synth(constructing, synthesizing, len(list(out.glob("asset.*"))))
