"""A perceptron with 1 MB of weights, in the forms that the engine maps, and what it answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.optimize.candidates.onnxruntime_tools import optimize_graph
from inference_runtime.tensor import FP32, Tensor

from bench import models

FLOATS = Tensor(FP32, [1, 256], np.random.default_rng(1).random(256, np.float32))


def optimized(folder: Path) -> Path:
    """Its ONNX file, optimised."""
    onnx.save(models.perceptron(), folder / "plain.onnx")
    optimize_graph(str(folder / "plain.onnx"), str(folder / "optimized.onnx"))
    return folder / "optimized.onnx"


def answer(engine: CapiEngine) -> bytes:
    """What it gives for ``FLOATS``."""
    return bytes(engine.run({"features": FLOATS}, ["probabilities"])["probabilities"].buffer)


def mappings(path: Path) -> int:
    """How many times this process has the file mapped."""
    return Path("/proc/self/maps").read_text().count(str(path))
