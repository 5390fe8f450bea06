"""Small ONNX models for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def scale_model(
    *,
    size: int = 4,
    opset: int = 17,
    ml_opset: int | None = None,
    ir_version: int = 8,
) -> onnx.ModelProto:
    """``y = x * weights`` for rows of ``size`` numbers; `ml_opset` adds that domain."""
    rows = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", size])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", size])
    weights = numpy_helper.from_array(np.arange(size, dtype=np.float32), "weights")
    nodes = [helper.make_node("Mul", ["x", "weights"], ["scaled"])]
    opsets = [helper.make_opsetid("", opset)]
    if ml_opset is None:
        nodes.append(helper.make_node("Identity", ["scaled"], ["y"]))
    else:
        nodes.append(helper.make_node("Normalizer", ["scaled"], ["y"], domain="ai.onnx.ml"))
        opsets.append(helper.make_opsetid("ai.onnx.ml", ml_opset))
    graph = helper.make_graph(nodes, "scale", [rows], [result], [weights])
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def save_external(model: onnx.ModelProto, path: Path, location: str = "weights.bin") -> Path:
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def write_sparse(path: Path, size: int) -> Path:
    """A file that says it has ``size`` bytes and takes up none."""
    with path.open("wb") as file:
        file.truncate(size)
    return path
