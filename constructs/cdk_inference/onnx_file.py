"""Reads and checks an ONNX file, without its weights where they are external."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from cdk_inference.contract import MANIFEST_FILE, MODEL_FILE
from cdk_inference.limits import ONNXRUNTIME_IR_VERSION, ONNXRUNTIME_OPSETS
from cdk_inference.model import IDENTIFIER, InferenceModel, TensorSpec
from cdk_inference.validation import ConfigurationError, Problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_DEFAULT_DOMAIN: Final = "ai.onnx"
_VERSION_DIGITS: Final = 12

# ONNX element types by the Open Inference Protocol's names.
_DATATYPES: Final[dict[int, str]] = {
    onnx.TensorProto.BOOL: "BOOL",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.UINT16: "UINT16",
    onnx.TensorProto.UINT32: "UINT32",
    onnx.TensorProto.UINT64: "UINT64",
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.INT16: "INT16",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.BFLOAT16: "BF16",
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.DOUBLE: "FP64",
    onnx.TensorProto.STRING: "BYTES",
}


def read_model(path: Path, name: str | None, version: str | None) -> InferenceModel:
    """What ``InferenceModel.from_file`` returns and raises."""
    proto = _parse(path)
    problems = Problems(str(path))
    opsets = {opset.domain or _DEFAULT_DOMAIN: opset.version for opset in proto.opset_import}
    _check_runs_on_onnxruntime(proto.ir_version, opsets, problems)
    files = {MODEL_FILE: path} | _external_files(path, proto, problems)
    files |= _optimized_files(path, problems)
    name = path.stem if name is None else name
    _check_identifier("name", name, problems)
    if version is not None:
        _check_identifier("version", version, problems)
    problems.raise_if_any()

    sha256 = _digest(files)
    defaults = {initializer.name for initializer in proto.graph.initializer}
    return InferenceModel(
        path=path,
        name=name,
        version=sha256[:_VERSION_DIGITS] if version is None else version,
        inputs=_specs(value for value in proto.graph.input if value.name not in defaults),
        outputs=_specs(proto.graph.output),
        opsets=opsets,
        files=files,
        size_bytes=sum(file.stat().st_size for file in files.values()),
        sha256=sha256,
    )


def _parse(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ConfigurationError(
            str(path), [f"no such file; give the path of an .onnx file (seen from {Path.cwd()})"]
        )
    try:
        proto = onnx.load(path, format="protobuf", load_external_data=False)
    except DecodeError:
        proto = onnx.ModelProto()
    # Protobuf accepts many a byte string, the empty one included; a model has at least these.
    if not (proto.ir_version and proto.opset_import and proto.graph.output):
        raise ConfigurationError(
            str(path),
            [
                f"not a complete ONNX model ({path.stat().st_size} bytes); it is another format or"
                " was cut short: export or copy it again"
            ],
        )
    return proto


def _check_runs_on_onnxruntime(
    ir_version: int, opsets: Mapping[str, int], problems: Problems
) -> None:
    versions = [("IR", ir_version, ONNXRUNTIME_IR_VERSION)]
    versions += [
        (f"opset of {domain}", version, ONNXRUNTIME_OPSETS[domain])
        for domain, version in opsets.items()
        if domain in ONNXRUNTIME_OPSETS
    ]
    for what, version, newest in versions:
        if version > newest:
            problems.add(
                f"the model's {what} version is {version}",
                allowed=f"the packaged onnxruntime supports up to {newest}",
                remedy="export the model again for an older version, or convert it with"
                " onnx.version_converter",
            )


def _check_identifier(what: str, value: str, problems: Problems) -> None:
    if not IDENTIFIER.fullmatch(value):
        problems.add(
            f"the model's {what} is {value!r}",
            allowed="1 to 64 letters, digits, '.', '_' and '-' are allowed, the first a letter or"
            " digit",
            remedy=f"give {what}=… to InferenceModel.from_file",
        )


def _external_files(path: Path, proto: onnx.ModelProto, problems: Problems) -> dict[str, Path]:
    needed: dict[str, int] = {}
    for tensor in _tensors(proto):
        if uses_external_data(tensor):
            info = ExternalDataInfo(tensor)
            end = (info.offset or 0) + (info.length or 0)
            needed[info.location] = max(end, needed.get(info.location, 0))
    for location, size in needed.items():
        _check_external_file(path, location, size, problems)
    return {location: path.parent / location for location in sorted(needed)}


def _check_external_file(path: Path, location: str, size: int, problems: Problems) -> None:
    file = path.parent / location
    given = f"the model refers to external data in {location!r}"
    if not _is_inside(path, location):
        problems.add(
            given,
            allowed="external data must be beside the model or in a folder below it",
            remedy="save the model again with onnx.save(…, save_as_external_data=True)",
        )
    elif location == MODEL_FILE:
        problems.add(
            given,
            allowed="in an artifact that name is the ONNX file's own",
            remedy="save the model again with another location for its external data",
        )
    elif not file.is_file():
        problems.add(
            given, allowed=f"there is no file {file}", remedy="copy it there along with the model"
        )
    elif file.stat().st_size < size:
        problems.add(
            f"{given}, which has {file.stat().st_size} bytes",
            allowed=f"the model needs at least {size}",
            remedy="it was cut short or belongs to another model: copy it again",
        )


def _optimized_files(path: Path, problems: Problems) -> dict[str, Path]:
    """The manifest of `inference-runtime optimize` beside the model, and the files it names.

    Where the file has not the name that it has in an artifact, the manifest is another model's.
    """
    manifest = path.parent / MANIFEST_FILE
    if path.name != MODEL_FILE or not manifest.is_file():
        return {}
    try:
        document = json.loads(manifest.read_bytes())
        expected = {**document["original"]["files"], **document["served"]["files"]}
        digests = {name: entry["sha256"] for name, entry in expected.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # somebody else's: the name is a common one
    for name, digest in digests.items():
        file = path.parent / name
        if not _is_inside(path, name) or not file.is_file() or _file_digest(file) != digest:
            problems.add(
                f"{file} is missing or not the file that {manifest} was made for",
                allowed="a manifest and its files belong together",
                remedy="run `inference-runtime optimize` again, or delete the manifest",
            )
    return {name: path.parent / name for name in (MANIFEST_FILE, *digests) if name != MODEL_FILE}


def _is_inside(path: Path, location: str) -> bool:
    relative = PurePosixPath(location)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        return False
    # Links may lead where the model's own link leads, as in the cache of Hugging Face's hub.
    real = (path.parent / location).resolve()
    return any(real.is_relative_to(root) for root in (path.parent.resolve(), path.resolve().parent))


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for graph in (attribute.g, *attribute.graphs):
                yield from _graph_tensors(graph)


def _digest(files: Mapping[str, Path]) -> str:
    digests = {location: _file_digest(file) for location, file in files.items()}
    if len(digests) == 1:
        return digests[MODEL_FILE]
    listing = "".join(f"{digest}  {location}\n" for location, digest in sorted(digests.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def _file_digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _specs(values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(v.name, _datatype(v.type), _shape(v.type)) for v in values)


def _datatype(declared: onnx.TypeProto) -> str:
    if declared.WhichOneof("value") == "tensor_type":
        element = declared.tensor_type.elem_type
        return _DATATYPES.get(element) or _onnx_notation(declared)
    return _onnx_notation(declared)


def _onnx_notation(declared: onnx.TypeProto) -> str:
    match declared.WhichOneof("value"):
        case "tensor_type":
            return f"tensor({_element(declared.tensor_type.elem_type)})"
        case "sparse_tensor_type":
            return f"sparse_tensor({_element(declared.sparse_tensor_type.elem_type)})"
        case "sequence_type":
            return f"seq({_onnx_notation(declared.sequence_type.elem_type)})"
        case "optional_type":
            return f"optional({_onnx_notation(declared.optional_type.elem_type)})"
        case "map_type":
            key = _element(declared.map_type.key_type)
            return f"map({key},{_onnx_notation(declared.map_type.value_type)})"
        case _:
            return "undefined"


def _element(elem_type: int) -> str:
    name: str = onnx.TensorProto.DataType.Name(elem_type)
    return name.lower()


def _shape(declared: onnx.TypeProto) -> tuple[int | None, ...] | None:
    if declared.WhichOneof("value") != "tensor_type" or not declared.tensor_type.HasField("shape"):
        return None
    return tuple(_size(dimension) for dimension in declared.tensor_type.shape.dim)


def _size(dimension: onnx.TensorShapeProto.Dimension) -> int | None:
    # Some exporters write -1 for a dimension of any size.
    known = dimension.HasField("dim_value") and dimension.dim_value >= 0
    return dimension.dim_value if known else None
