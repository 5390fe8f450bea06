"""Candidates with fewer bits for each number.

8-bit weights use 7 of their bits (``reduce_range``): with all 8, x86 processors without VNNI
saturate in the middle of a product and answer otherwise than the machine that was measured.
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import onnx

from inference_runtime.optimize import model_file
from inference_runtime.optimize.arrays import to_array
from inference_runtime.optimize.candidates.onnxruntime_tools import (
    has_operator,
    optimize_graph,
    quiet,
)
from inference_runtime.optimize.errors import DoesNotApply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from inference_runtime.optimize.arrays import Array
    from inference_runtime.optimize.candidates.workshop import Workshop
    from inference_runtime.optimize.samples import Samples

# Not Conv: onnxruntime's ConvInteger takes no signed weights on the CPU.
_DYNAMIC_OPERATORS: Final = ["MatMul", "Attention", "LSTM", "Gather", "EmbedLayerNormalization"]
# Between convolutions everything stays in 8 bits. Elsewhere only matrix products do: 8 bits cannot
# hold an attention mask's large negative numbers.
_STATIC_OPERATORS: Final = ["MatMul", "Gemm"]
# Weights of one scale each: smaller blocks are more exact and a little larger.
_INT4_BLOCK: Final = 32
# MatMulNBits may round activations to 8 bits, which is what makes it fast on a CPU.
_INT4_ACCURACY_LEVEL: Final = 4


def fp16(workshop: Workshop, target: str) -> None:
    """Weights and arithmetic in 16-bit floats; inputs and outputs stay as they are.

    Raises:
        DoesNotApply: the model has no weights of 32-bit floats.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = model_file.read(workshop.base)
    if not any(t.data_type == onnx.TensorProto.FLOAT for t in model.graph.initializer):
        raise DoesNotApply("it has no weights of 32-bit floats")
    with quiet():
        halved = convert_float_to_float16(model, keep_io_types=True)
    _finish(workshop, halved, "fp16.onnx", target)


def int8_dynamic(workshop: Workshop, target: str) -> None:
    """Weights in 8 bits; activations are quantised at run time.

    Raises:
        DoesNotApply: the model has no matrix product with constant weights.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantized = workshop.new_file("int8-dynamic.onnx")
    with quiet():
        quantize_dynamic(
            workshop.base, quantized, op_types_to_quantize=_DYNAMIC_OPERATORS, per_channel=True,
            reduce_range=True, weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
    _check_quantized(quantized, "matrix product with constant weights")
    optimize_graph(quantized, target)


def int8_static(workshop: Workshop, target: str) -> None:
    """Weights and activations in 8 bits, with the ranges that the samples show.

    Raises:
        DoesNotApply: the model has nothing to quantise.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, samples: Samples) -> None:
            self._runs = iter(samples.runs())

        def get_next(self) -> dict[str, Array] | None:
            run = next(self._runs, None)
            return None if run is None else {name: to_array(run[name]) for name in run}

    model = model_file.read(workshop.slimmed)
    shaped, quantized = workshop.new_file("shaped.onnx"), workshop.new_file("int8-static.onnx")
    with quiet():
        model_file.write(_flat_biases(onnx.shape_inference.infer_shapes(model)), shaped)
        quantize_static(
            shaped, quantized, Reader(workshop.samples), per_channel=True, reduce_range=True,
            op_types_to_quantize=None if has_operator(model, "Conv") else _STATIC_OPERATORS,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    _check_quantized(quantized, "operator that can be calibrated")
    optimize_graph(quantized, target)


def int4(workshop: Workshop, target: str) -> None:
    """Weights of matrix products in blocks of 4 bits.

    Raises:
        DoesNotApply: the model has no matrix product with constant weights.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = ONNXModel(model_file.read(workshop.base))
    with quiet():
        model.replace_gemm_with_matmul()
        quantizer = MatMulNBitsQuantizer(
            model.model, bits=4, block_size=_INT4_BLOCK, is_symmetric=True,
            accuracy_level=_INT4_ACCURACY_LEVEL,
        )  # fmt: skip
        quantizer.process()
    quantized = quantizer.model.model
    if not has_operator(quantized, "MatMulNBits"):
        raise DoesNotApply("it has no matrix product with constant weights")
    _finish(workshop, quantized, "int4.onnx", target)


def _finish(workshop: Workshop, model: onnx.ModelProto, name: str, target: str) -> None:
    path = workshop.new_file(name)
    model_file.write(model, path)
    optimize_graph(path, target)


def _flat_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """Gemm's biases with one dimension: the quantizer fails on [1, N], which means the same."""
    biases = {
        node.input[2] for node in model.graph.node if node.op_type == "Gemm" and node.input[2:]
    }
    for tensor in model.graph.initializer:
        if tensor.name in biases and tensor.dims[:-1] == [1]:
            del tensor.dims[0]
    return model


def _check_quantized(path: str, what: str) -> None:
    model = model_file.read(path, weights=False)
    if not has_operator(model, "Quantize", "Dequantize", "Integer"):
        raise DoesNotApply(f"it has no {what}")
