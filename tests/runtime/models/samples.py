"""ONNX files of any size, whole or with external data."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.runtime import onnx_models


def padded(size: int, seed: int = 0) -> bytes:
    """A model of at least ``size`` bytes, in a field that readers skip; other seeds give others."""
    filler = random.Random(seed).randbytes(size)
    return onnx_models.sum_and_product().SerializeToString() + protobuf_field(1000, filler)


def external_tensor(name: str, location: str, length: int = 16) -> TensorProto:
    made = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[length // 4])
    made.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        entry = made.external_data.add()
        entry.key, entry.value = key, value
    return made


def with_data(*locations: str, extra: Sequence[onnx.NodeProto] = ()) -> onnx.ModelProto:
    """``y = x + w0 + w1 …``, the weights being 4 floats in a file each."""
    nodes = list(extra)
    total = "x"
    for index, _ in enumerate(locations):
        nodes.append(helper.make_node("Add", [total, f"w{index}"], [f"sum{index}"]))
        total = f"sum{index}"
    nodes.append(helper.make_node("Identity", [total], ["y"]))
    return onnx_models.model(
        nodes,
        [onnx_models.tensor("x", "FP32", ["N", 4])],
        [onnx_models.tensor("y", "FP32", ["N", 4])],
        [external_tensor(f"w{index}", location) for index, location in enumerate(locations)],
    )


def weights(value: float) -> bytes:
    """What ``with_data`` reads from a file."""
    return np.full(4, value, np.float32).tobytes()


def small_constant(name: str) -> onnx.NodeProto:
    """A node that holds a tensor itself."""
    value = numpy_helper.from_array(np.zeros(3, np.float32), "location")
    return helper.make_node("Constant", [], [name], value=value)


def protobuf_field(number: int, content: bytes) -> bytes:
    """A field of bytes or of a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
