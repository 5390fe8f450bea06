"""Where a model's weights are in its file of external data, for the manifest."""

from __future__ import annotations

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from inference_runtime.engine.options import ORT_SUFFIX
from inference_runtime.engine.weights import Weight, Weights
from inference_runtime.optimize import model_file

# Of their first input they read the rows that the second one names.
_READ_ROWS = frozenset({"Gather", "GatherND", "GatherElements"})


def find(path: str) -> Weights | None:
    """The weights of the model ``path`` that an engine can map; ``None`` where it should not.

    That is where they are not in one file, or where a name may mean another tensor in a part of
    the model: in a loop's body, or in a function.
    """
    if path.endswith(ORT_SUFFIX):
        return None
    model = model_file.read(path, weights=False)
    if model.functions or any(_has_graph(node) for node in model.graph.node):
        return None
    outside = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
    files = {ExternalDataInfo(tensor).location for tensor in outside}
    if len(files) != 1:
        return None
    replaceable = {value.name for value in model.graph.input}
    dense = _read_whole(model.graph)
    return Weights(
        files.pop(),
        [_weight(t, t.name in dense) for t in outside if t.name not in replaceable],
    )


def _has_graph(node: onnx.NodeProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)


def _read_whole(graph: onnx.GraphProto) -> set[str]:
    """The names of the tensors that some node reads all of."""
    return {
        name
        for node in graph.node
        for position, name in enumerate(node.input)
        if position > 0 or node.op_type not in _READ_ROWS
    }


def _weight(tensor: onnx.TensorProto, dense: bool) -> Weight:
    info = ExternalDataInfo(tensor)
    return Weight(
        tensor.name,
        tensor.data_type,
        list(tensor.dims),
        int(info.offset or 0),
        int(info.length or 0),
        dense=dense,
    )
