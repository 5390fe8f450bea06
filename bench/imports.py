"""What imports cost at a cold start: the runtime's own, and those it does without.

Each import runs in a fresh interpreter. The interpreters take turns, so that what else the machine
does hits all of them alike; the first round, which writes bytecode and warms the page cache, is
left out. Milliseconds are medians of this machine: trust the ratios to the bare interpreter.

Run it with ``uv run --group bench python -m bench.imports``; it prints a Markdown table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from statistics import median

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


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21, help="interpreters for each import")
    rounds = parser.parse_args().rounds
    medians = measure(rounds)
    print("| imported | ms | × bare | ms more than bare |\n|---|---|---|---|")
    for name, milliseconds in medians.items():
        bare = medians[BARE]
        print(f"| {name} | {milliseconds:.0f} | {milliseconds / bare:.1f} "
              f"| {milliseconds - bare:.0f} |")  # fmt: skip


def measure(rounds: int) -> dict[str, float]:
    """The median wall time of each case in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds + 1):
        for name, code in CASES.items():
            times[name].append(run(code))
    return {name: median(measured[1:]) for name, measured in times.items()}


def run(code: str) -> float:
    """Wall time of one interpreter in milliseconds, from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
