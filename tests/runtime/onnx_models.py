"""Small ONNX models for the tests of the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from inference_runtime.engine.stock import StockEngine
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
ML_OPSET = 3
# Each datatype of the Open Inference Protocol, as ONNX calls it.
ELEMENT_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}

Shape = Sequence[int | str | None]


def tensor(name: str, datatype: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[datatype], shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "test", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    helper.set_model_props(made, metadata or {})
    return made


def identity(datatype: str, shape: Shape = ("N", 3)) -> onnx.ModelProto:
    """``y = x``."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return model([node], [tensor("x", datatype, shape)], [tensor("y", datatype, shape)])


def sum_and_product() -> onnx.ModelProto:
    """Two inputs and two outputs, row by row: ``sum = a + b``, ``product = a × b``."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Mul", ["a", "b"], ["product"]),
    ]
    rows = [tensor(name, "FP32", ["N", 2]) for name in ("a", "b", "sum", "product")]
    return model(nodes, rows[:2], rows[2:])


def scaled(factor: float = 10.0) -> onnx.ModelProto:
    """``y = x × factor``, where ``factor`` is an input that has a default."""
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    default = helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])
    inputs = [tensor("x", "FP32", ["N", 2]), tensor("factor", "FP32", [1])]
    return model([node], inputs, [tensor("y", "FP32", ["N", 2])], [default])


def shout() -> onnx.ModelProto:
    """``shouted = text + "!"``."""
    node = helper.make_node("StringConcat", ["text", "mark"], ["shouted"])
    mark = helper.make_tensor("mark", TensorProto.STRING, [1], [b"!"])
    shapes = [tensor(name, "BYTES", ["N", 2]) for name in ("text", "shouted")]
    return model([node], shapes[:1], shapes[1:], [mark])


def lookup() -> onnx.ModelProto:
    """Rows of a table of three by index; any other index is refused by the model itself."""
    node = helper.make_node("Gather", ["table", "index"], ["row"])
    rows = np.array([[0, 1], [10, 11], [20, 21]], np.float32)
    table = numpy_helper.from_array(rows, "table")
    return model([node], [tensor("index", "INT64", ["N"])], [tensor("row", "FP32", ["N", 2])],
                 [table])  # fmt: skip


def zeros() -> onnx.ModelProto:
    """As many zeros as the input says: too many cannot be allocated."""
    node = helper.make_node("ConstantOfShape", ["count"], ["zeros"])
    return model([node], [tensor("count", "INT64", [1])], [tensor("zeros", "FP32", ["M"])])


def square() -> onnx.ModelProto:
    """Four numbers as two rows of two; any other count is refused by the model itself."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [2, 2])
    return model([node], [tensor("x", "FP32", ["N"])], [tensor("y", "FP32", [2, 2])], [shape])


def counter() -> onnx.ModelProto:
    """Counts to what the input says, one at a time: as slow as is asked for."""
    step = helper.make_graph(
        [
            helper.make_node("Add", ["before", "one"], ["after"]),
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
        ],
        "step",
        [tensor("i", "INT64", []), tensor("go_on", "BOOL", []), tensor("before", "INT64", [1])],
        [tensor("go_on_out", "BOOL", []), tensor("after", "INT64", [1])],
    )
    nodes = [
        helper.make_node("Squeeze", ["times"], ["limit"]),
        helper.make_node("Loop", ["limit", "true", "zero"], ["counted"], body=step),
    ]
    constants = [
        helper.make_tensor("true", TensorProto.BOOL, [], [True]),
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
    ]
    times, counted = tensor("times", "INT64", [1]), tensor("counted", "INT64", [1])
    return model(nodes, [times], [counted], constants)


def datatypes() -> onnx.ModelProto:
    """For each datatype but strings an input and an output of it, alike: ``y_FP32 = x_FP32``."""
    names = [name for name in ELEMENT_TYPES if name != "BYTES"]
    nodes = [helper.make_node("Identity", [f"x_{name}"], [f"y_{name}"]) for name in names]
    inputs, outputs = ([tensor(f"{side}_{t}", t, ["N"]) for t in names] for side in "xy")
    return model(nodes, inputs, outputs)


def running_sum() -> onnx.ModelProto:
    """Adds rows to a state that its caller carries from request to request, at first zeros, and
    tells the largest element as a scalar.
    """
    nodes = [
        helper.make_node("ReduceSum", ["x", "rows"], ["added"], keepdims=1),
        helper.make_node("Add", ["state", "added"], ["next_state"]),
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("state", TensorProto.FLOAT, [1, 2], [0, 0]),
        helper.make_tensor("rows", TensorProto.INT64, [1], [0]),
    ]
    inputs = [tensor("x", "FP32", ["N", 2]), tensor("state", "FP32", [1, 2])]
    outputs = [tensor("next_state", "FP32", [1, 2]), tensor("largest", "FP32", [])]
    return model(nodes, inputs, outputs, constants)


def total() -> onnx.ModelProto:
    """A scalar for any number of rows."""
    node = helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0)
    return model([node], [tensor("x", "FP32", ["N", 2])], [tensor("total", "FP32", [])])


def logarithm() -> onnx.ModelProto:
    """Not a number below zero, minus infinity at zero."""
    node = helper.make_node("Log", ["x"], ["y"])
    return model([node], [tensor("x", "FP32", ["N", 2])], [tensor("y", "FP32", ["N", 2])])


def zipmap_classifier(labels: Sequence[str] | Sequence[int] = ("no", "yes")) -> onnx.ModelProto:
    """Two classes by the sign of the first of two features, exported as skl2onnx does it."""
    kind = "strings" if isinstance(labels[0], str) else "int64s"
    attribute = {f"classlabels_{'strings' if kind == 'strings' else 'ints'}": list(labels)}
    nodes = [
        helper.make_node(
            "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
            coefficients=[-1.0, 0.0, 1.0, 0.0], intercepts=[0.0, 0.0], post_transform="SOFTMAX",
            **attribute,
        ),
        helper.make_node(
            "ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml",
            **{f"classlabels_{kind}": list(labels)},
        ),
    ]  # fmt: skip
    label_type = "BYTES" if kind == "strings" else "INT64"
    key = TensorProto.STRING if kind == "strings" else TensorProto.INT64
    score = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(key, score))
    outputs = [
        tensor("label", label_type, ["N"]),
        helper.make_value_info("probabilities", maps),
    ]
    return model(nodes, [tensor("x", "FP32", ["N", 2])], outputs)


def sparse_product() -> onnx.ModelProto:
    """A sparse matrix times a dense one."""
    sparse = helper.make_sparse_tensor_value_info("matrix", TensorProto.FLOAT, [3, 3])
    node = helper.make_node("SparseToDenseMatMul", ["matrix", "x"], ["y"], domain="com.microsoft")
    made = model([node], [sparse, tensor("x", "FP32", [3, 3])], [tensor("y", "FP32", [3, 3])])
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def optional_tensor() -> onnx.ModelProto:
    """What is in an optional."""
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))
    node = helper.make_node("OptionalGetElement", ["maybe"], ["y"])
    return model([node], [helper.make_value_info("maybe", kind)], [tensor("y", "FP32", [2])])


def sequence_of_tensors() -> onnx.ModelProto:
    """An output that is a list of tensors: not servable."""
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 2])
    output = helper.make_value_info("y", helper.make_sequence_type_proto(element))
    return model([node], [tensor("x", "FP32", ["N", 2])], [output])


def sequence_input() -> onnx.ModelProto:
    """An input that is a list of tensors: not servable."""
    node = helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 2])
    value = helper.make_value_info("x", helper.make_sequence_type_proto(element))
    return model([node], [value], [tensor("y", "FP32", ["M", 2])])


def optional_input() -> onnx.ModelProto:
    """An input of an optional type, which is none or a tensor: not servable."""
    node = helper.make_node("OptionalHasElement", ["x"], ["y"])
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 2])
    value = helper.make_value_info("x", helper.make_optional_type_proto(element))
    return model([node], [value], [tensor("y", "BOOL", [])])


def save(made: onnx.ModelProto, path: Path) -> str:
    onnx.save(made, path)
    return str(path)


def load(made: onnx.ModelProto, folder: Path, threads: int = 1) -> StockEngine:
    return StockEngine(save(made, folder / "model.onnx"), threads)
