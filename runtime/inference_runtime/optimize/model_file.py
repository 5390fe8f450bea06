"""ONNX files on disk, with their external data: read, write, measure, digest."""

from __future__ import annotations

import hashlib
import os
import zlib

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from inference_runtime.models.onnx_file import ORT_IDENTIFIER
from inference_runtime.optimize.errors import NotOptimized
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.tensor import DATATYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from inference_runtime.signature import Dimension

# From this size on, weights go beside the graph: onnxruntime maps them instead of copying them, and
# the graph that is left is small enough to be digested at every start.
EXTERNAL_FROM_BYTES: Final = 1 << 20
# Smaller tensors stay in the graph, where shapes and axes are read.
EXTERNAL_TENSOR_BYTES: Final = 1024
_CHUNK_BYTES: Final = 1 << 20

_DATATYPES: Final[dict[int, str]] = {
    onnx.TensorProto.BOOL: "BOOL", onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.UINT16: "UINT16", onnx.TensorProto.UINT32: "UINT32",
    onnx.TensorProto.UINT64: "UINT64", onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.INT16: "INT16", onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64", onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.BFLOAT16: "BF16", onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.DOUBLE: "FP64", onnx.TensorProto.STRING: "BYTES",
}  # fmt: skip


def read(path: str, *, weights: bool = True) -> onnx.ModelProto:
    """The model in the file ``path``.

    Args:
        path: of the ONNX file.
        weights: whether to read external data too.

    Raises:
        NotOptimized: there is no such file, it is no ONNX model, or its external data are missing.
    """
    if not os.path.isfile(path):
        raise NotOptimized(f"there is no file {path}; give the path of an .onnx file")
    try:
        # By default the format would be guessed from the file's name.
        model = onnx.load(path, "protobuf", load_external_data=weights)
    except DecodeError:
        model = onnx.ModelProto()
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise NotOptimized(f"{path} or its external data cannot be read: {error}") from error
    if _is_ort_format(path):
        raise NotOptimized(
            f"{path} is in onnxruntime's own format, which says less: give the ONNX file that it"
            " was made from"
        )
    # Protobuf accepts many a byte string, the empty one included; a model has at least these.
    if not (model.ir_version and model.opset_import and model.graph.output):
        raise NotOptimized(
            f"{path} is no ONNX model, or was cut short ({os.path.getsize(path)} bytes)"
        )
    return model


def write(model: onnx.ModelProto, path: str) -> None:
    """Write ``model`` to ``path``; large weights beside it, to ``path`` with ``.data`` appended."""
    if weight_bytes(model) < EXTERNAL_FROM_BYTES:
        onnx.save(model, path)
        return
    # onnx moves the weights out of the model that it saves.
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    onnx.save(
        copy, path, save_as_external_data=True, all_tensors_to_one_file=True,
        location=os.path.basename(path) + ".data", size_threshold=EXTERNAL_TENSOR_BYTES,
    )  # fmt: skip


def weight_bytes(model: onnx.ModelProto) -> int:
    """The bytes of the model's initializers, wherever they are."""
    return sum(tensor_bytes(tensor) for tensor in model.graph.initializer)


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """The bytes of one tensor's elements, wherever they are."""
    if uses_external_data(tensor):
        return int(ExternalDataInfo(tensor).length or 0)
    return int(tensor.ByteSize())


def files_of(path: str) -> list[str]:
    """The names of the model's files, all in its folder: the file ``path`` and its external data.

    Raises:
        NotOptimized: external data are outside the model's folder.
    """
    names = [os.path.basename(path)]
    if path.endswith(".ort"):
        return names
    locations = {info.location for info in _external_data(read(path, weights=False))}
    for location in sorted(locations):
        if location != os.path.normpath(location) or location.startswith((".." + os.sep, os.sep)):
            raise NotOptimized(
                f"{path} refers to external data in {location!r}, outside its own folder; save it"
                " again with onnx.save(…, save_as_external_data=True)"
            )
        names.append(location)
    return names


def size(path: str) -> int:
    """The bytes of all files of the model ``path``."""
    return sum(os.path.getsize(file) for file in _paths(path))


def compressed_size(path: str) -> int:
    """About the bytes of the model ``path`` in a zip or an image layer: deflate, as both use."""
    total = 0
    for file in _paths(path):
        deflate = zlib.compressobj()
        total += sum(len(deflate.compress(chunk)) for chunk in _chunks(file))
        total += len(deflate.flush())
    return total


def digest(path: str) -> str:
    """The SHA-256 of one file, in hex."""
    sha256 = hashlib.sha256()
    for chunk in _chunks(path):
        sha256.update(chunk)
    return sha256.hexdigest()


def signature(model: onnx.ModelProto) -> Signature:
    """The model's inputs and outputs; outputs that are no tensors, such as a ZipMap's, left out.

    Raises:
        NotOptimized: an input is no tensor of a type that is served.
    """
    defaults = {initializer.name for initializer in model.graph.initializer}
    inputs = []
    for value in model.graph.input:
        spec = _spec(value, optional=value.name in defaults)
        if spec is None:
            raise NotOptimized(
                f"its input {value.name!r} is no tensor of a type that is served; inputs must be"
                " tensors of numbers, booleans or strings"
            )
        inputs.append(spec)
    outputs = [spec for value in model.graph.output if (spec := _spec(value))]
    return Signature(inputs, outputs)


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The model's metadata properties."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _is_ort_format(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(8)[4:] == ORT_IDENTIFIER


def _paths(path: str) -> list[str]:
    folder = os.path.dirname(path)
    return [os.path.join(folder, name) for name in files_of(path)]


def _chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _external_data(model: onnx.ModelProto) -> Iterator[ExternalDataInfo]:
    for tensor in _tensors(model):
        if uses_external_data(tensor):
            yield ExternalDataInfo(tensor)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield attribute.t
        yield from attribute.tensors
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)


def _spec(value: onnx.ValueInfoProto, *, optional: bool = False) -> TensorSpec | None:
    declared = value.type.tensor_type
    if not value.type.HasField("tensor_type") or declared.elem_type not in _DATATYPES:
        return None
    datatype = DATATYPES[_DATATYPES[declared.elem_type]]
    shape = [_dimension(dimension) for dimension in declared.shape.dim]
    return TensorSpec(value.name, datatype, shape, optional=optional)


def _dimension(dimension: onnx.TensorShapeProto.Dimension) -> Dimension:
    # Some exporters write -1 for a dimension of any size.
    if dimension.HasField("dim_value") and dimension.dim_value >= 0:
        return dimension.dim_value
    return dimension.dim_param or None
