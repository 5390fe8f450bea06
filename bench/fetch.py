"""From the start of a process until it is ready, and until its first answer, with the model in an
S3-compatible store.

The store is a process of its own on loopback that waits before each answer, as a network does.
Every start begins with an empty cache; ours is from the files of a zip, and nobody's interpreter
looks into a virtual environment. What `inference-runtime optimize` wrote is stored as a
folder, and the runtime fetches what its manifest names; the other ways fetch the original.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench import models, object_store, optimised
from bench.cold_start import PROGRAMS, paths
from bench.report import Chart, Section, Table
from bench.requests import ANSWER, request_body

MODELS = {"resnet18": "ResNet-18, 47 MB", "bert": "BERT-base encoder, 436 MB"}
BUCKET = "models"
DELAY_SECONDS = 0.02
ROUNDS = 7
ENVIRON = {
    "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "K_SERVICE": "bench",  # a caller waits for the start, as on Cloud Run and on AWS Lambda
}  # fmt: skip
NOTE = (
    "The textbook handler fetches with boto3's download_file, or with one plain GET (urllib), and"
    f" loads the file. The store is on loopback and waits {DELAY_SECONDS * 1000:.0f} ms before each"
    " answer; the model is in its page cache. Ready is a session; fetch is the runtime's own"
    " figure, from its log."
)


class Way(NamedTuple):
    """A program of ``starts/``, and the folder in the bucket that it is pointed to."""

    program: str
    folder: str


WAYS = {
    "boto3 and path": Way("textbook_boto3", "original"),
    "one GET and path": Way("textbook_get", "original"),
    "ours, the same file": Way("runtime", "original"),
    "ours, optimised": Way("runtime", "optimised"),
}
BASELINE = next(iter(WAYS))


class Start(NamedTuple):
    """What one start took, in milliseconds; ``fetch`` where the program tells it."""

    ready: float
    answer: float
    fetch: float | None


def measure() -> Section:
    """Start every way on every model, in turns."""
    tables, ratios = [], {}
    for model, title in MODELS.items():
        starts = _measure(model)
        tables.append(_table(title, starts))
        ratios |= {f"{title}: {name}": _ready(some) for name, some in starts.items()}
    tables[-1].note = NOTE
    chart = Chart("From the start until ready, with the model in a store", "ms", ratios)
    return Section("Fetch", tables, [chart])


def _measure(model: str) -> dict[str, list[Start]]:
    starts: dict[str, list[Start]] = {name: [] for name in WAYS}
    with TemporaryDirectory() as folder:
        stored = Path(folder, BUCKET)
        stored.mkdir()
        (stored / "original").mkdir()
        (stored / "original" / "model.onnx").symlink_to(models.path_of(model))
        (stored / "optimised").symlink_to(optimised.folder_of(model))
        body = Path(folder, "body.json")
        body.write_bytes(request_body(model))
        theirs, ours = paths(Path(folder, "artifact"))
        with object_store.running(Path(folder), DELAY_SECONDS) as url:
            for round_ in range(ROUNDS + 1):
                for name, way in WAYS.items():
                    start = _start(way, url, body, ours if way.program == "runtime" else theirs)
                    if round_:  # The first compiles bytecode and fills the page cache.
                        starts[name].append(start)
    return starts


def _start(way: Way, url: str, body: Path, path: str) -> Start:
    """One start with an empty cache, from before the process exists to its answer."""
    reading, writing = os.pipe()
    uri = f"s3://{BUCKET}/{way.folder}/model.onnx"
    program = PROGRAMS / f"{way.program}.py"
    command = [sys.executable, "-S", str(program), uri, str(body), str(writing)]
    with TemporaryDirectory() as downloads:
        own = {
            "AWS_ENDPOINT_URL": url, "DOWNLOADS": downloads, "INFERENCE_CACHE_DIR": downloads,
            "PYTHONPATH": path,
        }  # fmt: skip
        began = time.perf_counter()
        with subprocess.Popen(
            command, env=os.environ | ENVIRON | own, pass_fds=[writing],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process, os.fdopen(reading, "rb") as answers:  # fmt: skip
            os.close(writing)
            log = list(_until_ready(process))
            ready = time.perf_counter() - began
            answer = answers.readline()
            answered = time.perf_counter() - began
            process.communicate()
    if not ANSWER.search(answer):
        raise SystemExit(f"{way.program} did not answer: {log}")
    fetch = next((entry["fetch_ms"] for entry in log if "fetch_ms" in entry), None)
    return Start(ready * 1000, answered * 1000, fetch)


def _until_ready(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The lines of its log, which all programs end with one that says so."""
    assert process.stdout is not None
    for line in process.stdout:
        entry = json.loads(line)
        yield entry
        if entry["message"] == "ready":
            return


def _ready(starts: list[Start]) -> float:
    return round(median(start.ready for start in starts))


def _table(title: str, starts: dict[str, list[Start]]) -> Table:
    baseline = _ready(starts[BASELINE])
    rows = []
    for name, some in starts.items():
        fetches = [start.fetch for start in some if start.fetch is not None]
        rows.append(
            [
                name,
                f"{_ready(some):,}",
                f"{_ready(some) / baseline:.2f}",
                f"{min(start.ready for start in some):,.0f}",
                f"{median(start.answer for start in some):,.0f}",
                f"{median(fetches):,.0f}" if fetches else "–",
            ]
        )
    header = ["way", "ready, ms", f"of {BASELINE}", "fastest", "first answer, ms", "fetch, ms"]
    return Table(title, header, rows)
