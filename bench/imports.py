"""What imports cost at a cold start: the runtime's own, and those it does without.

Each import runs in a fresh interpreter. The interpreters take turns, so that what else the machine
does hits all of them alike; the first round, which writes bytecode and warms the page cache, is
left out. Milliseconds are medians of this machine: trust the ratios to the bare interpreter.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from bench.report import Section, Table

ROUNDS = 21
BARE = "the bare interpreter"
ENGINE = "import onnxruntime"
RUNTIME = "import inference_runtime.serving"
CAPI = f"{RUNTIME}; import inference_runtime.engine.capi.session"
LOGGER = "from aws_lambda_powertools import Logger; Logger(service='x')"
CASES = {
    BARE: "pass",
    "`json`": "import json",
    "`orjson`": "import orjson; orjson.dumps(0)",
    "`logging`": "import logging",
    "Powertools Logger": LOGGER,
    "the runtime, no engine": RUNTIME,
    "the runtime, engine `capi`": CAPI,
    "the runtime, engine `capi`, and `logging`": f"{CAPI}; import logging",
    "the runtime, engine `capi`, and Powertools Logger": f"{CAPI}; {LOGGER}",
    "`numpy`": "import numpy",
    "`onnxruntime`, which imports `numpy`": ENGINE,
    "the runtime, engine `stock`": f"{RUNTIME}; import inference_runtime.engine.stock",
    "the runtime, engine `stock`, and Powertools Logger": (
        f"{RUNTIME}; import inference_runtime.engine.stock; {LOGGER}"
    ),
}


def measure() -> Section:
    """Import everything in turns."""
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS + 1):
        for name, code in CASES.items():
            times[name].append(run(code))
    medians = {name: median(measured[1:]) for name, measured in times.items()}
    bare = medians[BARE]
    rows = [
        [name, f"{time:.0f}", f"{time / bare:.1f}", f"{time - bare:.0f}"]
        for name, time in medians.items()
    ]
    header = ["imported", "ms", "of bare", "ms more than bare"]
    table = Table("A fresh interpreter, from its start to its end", header, rows)
    return Section("Imports at a cold start", [table])


def run(code: str) -> float:
    """Wall time of one interpreter in milliseconds, from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    return (time.perf_counter() - start) * 1000
