"""What loading a model takes: memory against its file's size, time against its size and its nodes.

Each load is in a process of its own, where onnxruntime has been started before. In each round all
take turns; the tables show medians over the rounds. The page cache is warm.
"""

from __future__ import annotations

import json
import subprocess
import sys
from math import isqrt
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import onnx
from inference_runtime.optimize.candidates.onnxruntime_tools import optimize_graph, to_ort_format

from bench import models, optimised
from bench.models import Graph, perceptron
from bench.report import Chart, Section, Table

PROGRAM = Path(__file__).parent / "starts" / "load.py"
WAYS = {"onnxruntime's defaults": "default", "ours, compiled": "mapped"}
FILES = ("mlp52", "resnet18", "minilm", "bert")
SIZES_MB = (1, 8, 64, 256, 1_024)
NODES = (10, 100, 1_000, 10_000)
ROUNDS = 3
SHORT = {"ROUNDS": 1, "FILES": ("minilm",), "SIZES_MB": (1, 8), "NODES": (10, 100)}
NOTE = (
    "Defaults: an `InferenceSession` of the ONNX file. Ours: what `inference-runtime optimize` made"
    " of it, mapped, with weights that are packed after the first answer only. First answer is load"
    " and first run. Peak counts mapped pages, anonymous what no file backs: when answered, with"
    " what the layers hand one another. Both are above what the process took with a model of next"
    " to nothing."
)


class Load(NamedTuple):
    """What one load and the run after it took."""

    load_ms: float
    first_ms: float
    peak_mb: float
    loaded_anonymous_mb: float
    anonymous_mb: float

    @property
    def answer_ms(self) -> float:
        """From the call that loads to the first answer."""
        return self.load_ms + self.first_ms


Paths = dict[str, Path]
Loads = dict[str, Load]


def measure() -> Section:
    """Load the models that people serve, and others of growing size and depth."""
    models.CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=models.CACHE) as name:
        folder = Path(name)
        small = _compiled(_chain(1), folder, "small")
        served = {model: _served(model) for model in FILES}
        memory = {model: _load_all(paths, small) for model, paths in served.items()}
        sizes = {mb: _measure(_dense(mb), small, folder) for mb in SIZES_MB}
        nodes = {count: _measure(_chain(count), small, folder) for count in NODES}
    return Section(
        "Loading",
        [
            _memory_table(served, memory),
            _growth_table("Time against the model's size", "MB", sizes),
            _growth_table("Time against the number of nodes", "nodes", nodes),
        ],
        [
            _chart("First answer against the model's size", "MB", sizes),
            _chart("First answer against the number of nodes", "nodes", nodes),
        ],
    )


def _served(model: str) -> Paths:
    compiled = optimised.served_file(optimised.folder_of(model))
    return {"default": models.path_of(model), "mapped": compiled}


def _compiled(model: onnx.ModelProto, folder: Path, name: str) -> Paths:
    """The model as ONNX, and as `optimize` compiles it."""
    path, graph, ort = (folder / f"{name}{end}" for end in (".onnx", "-graph.onnx", ".ort"))
    onnx.save(model, path)
    optimize_graph(str(path), str(graph))
    to_ort_format(str(graph), str(ort))
    return {"default": path, "mapped": ort}


def _dense(megabytes: int) -> onnx.ModelProto:
    """A model of one large matrix."""
    width = isqrt(megabytes * 2**20 // 4)
    return perceptron((width, width, 10))


def _chain(count: int) -> onnx.ModelProto:
    """Nodes one after the other, which no optimisation joins."""
    graph = Graph()
    x = "features"
    for index in range(count):
        x = graph.add(("Relu", "Sin", "Neg")[index % 3], x)
    graph.add("Identity", x, output="out")
    ends = (
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 16])]
        for name in ("features", "out")
    )
    return graph.model(*ends)


def _measure(model: onnx.ModelProto, small: Paths, folder: Path) -> Loads:
    """Of a model that is on the disk no longer than that takes."""
    with TemporaryDirectory(dir=folder) as own:
        return _load_all(_compiled(model, Path(own), "model"), small)


def _load_all(paths: Paths, small: Paths) -> Loads:
    loads: dict[str, list[Load]] = {way: [] for way in WAYS}
    for round_ in range(ROUNDS + 1):
        for way in WAYS:
            load = _load(way, small, paths)
            if round_:  # The first fills the page cache.
                loads[way].append(load)
    return {way: Load(*map(median, zip(*some, strict=True))) for way, some in loads.items()}


def _load(way: str, small: Paths, paths: Paths) -> Load:
    kind = WAYS[way]
    command = [sys.executable, str(PROGRAM), kind, str(small[kind]), str(paths[kind])]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return Load(**json.loads(ran.stdout))


def _memory_table(served: dict[str, Paths], memory: dict[str, Loads]) -> Table:
    rows = []
    for model, loads in memory.items():
        size_mb = served[model]["default"].stat().st_size / 2**20
        for way, load in loads.items():
            rows.append(
                [
                    f"{model}, {way}",
                    f"{size_mb:.0f}",
                    f"{load.peak_mb:.0f}",
                    f"{load.peak_mb / size_mb:.2f}",
                    f"{load.loaded_anonymous_mb:.1f}",
                    f"{load.loaded_anonymous_mb / size_mb:.2f}",
                    f"{load.anonymous_mb:.1f}",
                    f"{load.anonymous_mb / size_mb:.2f}",
                ]
            )
    header = [
        "model, way", "file, MB", "peak, MB", "of the file",
        "anonymous when loaded, MB", "of the file", "anonymous when answered, MB", "of the file",
    ]  # fmt: skip
    return Table("Memory of a load and its first answer", header, rows, NOTE)


def _growth_table(title: str, what: str, cases: dict[int, Loads]) -> Table:
    header = [what]
    for way in WAYS:
        header += [f"{way}: load, ms", "first answer, ms"]
    rows = []
    for size, loads in cases.items():
        row = [f"{size:,}"]
        for load in loads.values():
            row += [f"{load.load_ms:,.1f}", f"{load.answer_ms:,.1f}"]
        rows.append(row)
    return Table(title, header, rows)


def _chart(title: str, what: str, cases: dict[int, Loads]) -> Chart:
    lines = {
        way: {str(size): loads[way].answer_ms for size, loads in cases.items()} for way in WAYS
    }
    return Chart(title, "ms", lines, what)
