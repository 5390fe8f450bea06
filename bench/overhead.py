"""What a request costs above the model's own run: from the body's bytes to the answer's, in one
process.

The model only copies its input, so its run is as short as can be. The textbook handler of
``bench/peers/textbook`` does the same with json and numpy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from inference_runtime.dataplane import DataPlane
from inference_runtime.messages import Request
from inference_runtime.serving import start
from inference_runtime.settings import Settings
from onnx import TensorProto, helper

from bench.report import Chart, Section, Table

SIZES = (4, 1_000, 150_528)
ROUNDS = 30
SECONDS_PER_ROUND = 0.02

Way = Callable[[], object]


def measure() -> Section:
    """Time each way at each size, in turn."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "copy.onnx")
        onnx.save(copy_model(), path)
        settings = {
            "MODEL_URI": str(path),
            "INFERENCE_REQUEST_LOG": "errors",
            "INFERENCE_THREADS": "1",
            "INFERENCE_MAX_REQUEST_BYTES": "100000000",
        }
        plane = start(Settings.read(settings))
        tables, micros = [], {}
        for size in SIZES:
            micros[size] = _time(_ways(plane, path, size))
            tables.append(_table(size, micros[size]))
    values = {way: us - micros[SIZES[-1]]["raw run"] for way, us in micros[SIZES[-1]].items()}
    values.pop("raw run")
    chart = Chart(f"Overhead for {SIZES[-1]:,} floats", "µs above the raw run", values)
    return Section("Overhead of a request", tables, [chart])


def _ways(plane: DataPlane, path: Path, size: int) -> dict[str, Way]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    row = np.random.default_rng(1).random((1, size), np.float32)
    features = json.dumps({"features": row[0].tolist()}).encode()
    tensor = {"name": "x", "shape": [1, size], "datatype": "FP32"}
    infer = json.dumps({"inputs": [tensor | {"data": row[0].tolist()}]}).encode()
    sized = tensor | {"parameters": {"binary_data_size": row.nbytes}}
    wants = {"binary_data_output": True}
    header = json.dumps({"inputs": [sized], "parameters": wants}).encode()
    lengths = {"inference-header-content-length": str(len(header))}
    path_ = "/v2/models/model/infer"

    def textbook() -> str:
        array = np.array(json.loads(features)["features"], np.float32).reshape(1, -1)
        return json.dumps({"predictions": [o.tolist() for o in session.run(None, {"x": array})]})

    def ask(path: str, body: bytes, headers: dict[str, str]) -> Way:
        request = Request("POST", path, headers, body, "1")
        assert plane.handle(request).status == 200
        return lambda: plane.handle(request)

    return {
        "raw run": lambda: session.run(None, {"x": row}),
        "textbook JSON": textbook,
        "simple form JSON": ask("/predict", features, {}),
        "Open Inference Protocol JSON": ask(path_, infer, {}),
        "Open Inference Protocol binary": ask(path_, header + row.tobytes(), lengths),
    }


def _time(ways: dict[str, Way]) -> dict[str, float]:
    """Median microseconds of each way over rounds that take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            count, began = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - began) < SECONDS_PER_ROUND or not count:
                way()
                count += 1
            seconds[name].append(elapsed / count)
    return {name: median(taken) * 1e6 for name, taken in seconds.items()}


def _table(size: int, micros: dict[str, float]) -> Table:
    raw, textbook = micros["raw run"], micros["textbook JSON"] - micros["raw run"]
    rows = [
        [name, f"{us:,.0f}", f"{us - raw:,.0f}", f"{(us - raw) / textbook:.2f}"]
        for name, us in micros.items()
    ]
    return Table(f"{size:,} floats", ["way", "µs", "above the raw run", "of the textbook's"], rows)


def copy_model() -> onnx.ModelProto:
    """A model that gives back its input, of any two dimensions."""
    shape = ["rows", "columns"]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "copy", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
