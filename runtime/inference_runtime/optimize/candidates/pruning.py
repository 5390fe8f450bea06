"""Pruning, to look at: what half of the weights set to zero would save, and what it would cost.

onnxruntime has no sparse kernels on the CPU: it multiplies zeros like other numbers, in the same
time and memory. Only the compressed size shrinks, and answers change. So this candidate is
measured when it is asked for, and never served.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from inference_runtime.optimize import model_file
from inference_runtime.optimize.candidates.onnxruntime_tools import optimize_graph
from inference_runtime.optimize.errors import DoesNotApply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from inference_runtime.optimize.candidates.workshop import Workshop

SPARSITY: Final = 0.5


def pruned(workshop: Workshop, target: str) -> None:
    """The smallest half of each weight matrix set to zero, by magnitude, without retraining.

    Raises:
        DoesNotApply: the model has no weight matrices of 32-bit floats.
    """
    model = model_file.read(workshop.base)
    matrices = [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2
    ]
    if not matrices:
        raise DoesNotApply("it has no weight matrices of 32-bit floats")
    for tensor in matrices:
        weights = numpy_helper.to_array(tensor).copy()
        weights[np.abs(weights) <= np.quantile(np.abs(weights), SPARSITY)] = 0
        tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    sparse = workshop.new_file("pruned.onnx")
    model_file.write(model, sparse)
    optimize_graph(sparse, target)
