"""The names of external data: against the package onnx, and on files that are not whole."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.onnx_file import external_data
from onnx import TensorProto, helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from tests.runtime import onnx_models
from tests.runtime.models.samples import (
    external_tensor,
    padded,
    protobuf_field,
    small_constant,
    with_data,
)

DIGITS = Path(__file__).parents[3] / "models" / "digits" / "digits.onnx"


def locations(model: onnx.ModelProto | bytes, folder: Path) -> list[str]:
    path = folder / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return external_data(str(path), str(path))


def subgraph(tensor: TensorProto) -> onnx.NodeProto:
    """An If whose branches hold ``tensor``: one as an initializer, one in a Constant."""
    output = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    identity = helper.make_node("Identity", [tensor.name], ["z"])
    then = helper.make_graph([identity], "then", [], output, [tensor])
    constant = helper.make_node("Constant", [], ["z"], value=tensor)
    other = helper.make_graph([constant], "else", [], output)
    return helper.make_node("If", ["x"], ["z"], then_branch=then, else_branch=other)


def test_a_model_without_external_data_has_none(tmp_path: Path) -> None:
    assert external_data(str(DIGITS), "digits") == []
    assert locations(onnx_models.sum_and_product(), tmp_path) == []
    assert locations(padded(100_000), tmp_path) == []


def test_each_file_is_named_once_in_order(tmp_path: Path) -> None:
    assert locations(with_data("b", "a/c", "b"), tmp_path) == ["a/c", "b"]


def test_tensors_in_nodes_and_subgraphs_are_found(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=external_tensor("c", "constant.bin"))
    nested = subgraph(external_tensor("w", "nested.bin"))
    model = with_data("weights.bin", extra=[constant, nested, small_constant("location")])
    assert locations(model, tmp_path) == ["constant.bin", "nested.bin", "weights.bin"]


def test_functions_and_sparse_tensors_are_looked_into(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=external_tensor("c", "function.bin"))
    function = helper.make_function(
        "local", "F", [], ["c"], [constant], [helper.make_opsetid("", 20)]
    )
    model = with_data()
    model.functions.append(function)
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(external_tensor("v", "values.bin"))
    sparse.indices.CopyFrom(external_tensor("i", "indices.bin"))
    assert locations(model, tmp_path) == ["function.bin", "indices.bin", "values.bin"]


def test_a_location_counts_only_where_the_data_are_external(tmp_path: Path) -> None:
    tensor = external_tensor("w", "unused.bin")
    tensor.data_location = TensorProto.DEFAULT
    model = with_data()
    model.graph.initializer.append(tensor)
    assert locations(model, tmp_path) == []


def test_onnxruntimes_own_format_has_no_external_data(tmp_path: Path) -> None:
    assert locations(b"\x18\0\0\0ORTM" + b"\xff" * 100, tmp_path) == []


def test_what_follows_the_content_is_not_read(tmp_path: Path) -> None:
    content = with_data("w").SerializeToString()
    path = tmp_path / "part"
    path.write_bytes(content + b"\xff" * 100)
    assert external_data(str(path), "model.onnx", len(content)) == ["w"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 20, b"no model at all", with_data("w").SerializeToString()[:-1], b"\x3a\x7f"],
    ids=["empty", "number too long", "text", "cut short", "length beyond the end"],
)
def test_what_is_not_whole_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="is no complete ONNX file"):
        locations(content, tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="No such file"):
        external_data(str(tmp_path / "m.onnx"), "m.onnx")


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    content = b"location"
    for _ in range(50):  # a graph in an attribute of a node of a graph, and so on
        for number in (6, 5, 1):
            content = protobuf_field(number, content)
    with pytest.raises(ModelNotLoaded, match="nested too deeply"):
        locations(protobuf_field(7, content), tmp_path)


@pytest.mark.parametrize(
    "location",
    ["../w", "/w", "a/../../w", "..", ".", "", "a/..", "model.onnx", "./model.onnx", "w\0"],
)
def test_a_location_outside_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoaded, match=r"external data in|external data has no location"):
        locations(with_data(location), tmp_path)


@pytest.mark.parametrize("location", ["w", "a/b/w", "./w", "..w", "a/../w", "ü"])
def test_a_location_inside_the_folder_is_allowed(location: str, tmp_path: Path) -> None:
    assert locations(with_data(location), tmp_path) == [location]


WHOLE = with_data("a.bin", "b/c.bin", extra=[subgraph(external_tensor("w", "d.bin"))])
BYTES = WHOLE.SerializeToString()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(BYTES) - 1), st.integers(0, 255), st.integers(0, 40))
def test_corrupted_files_never_crash(
    tmp_path_factory: pytest.TempPathFactory, position: int, byte: int, cut: int
) -> None:
    corrupt = bytearray(BYTES)
    corrupt[position] = byte
    folder = tmp_path_factory.getbasetemp()
    try:
        found = locations(bytes(corrupt[: len(corrupt) - cut]), folder)
    except ModelNotLoaded:
        return
    assert all(not location.startswith(("/", "..")) for location in found)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    with suppress(ModelNotLoaded):
        locations(content, tmp_path_factory.getbasetemp())


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c/d", "e"]), max_size=6))
def test_the_names_are_those_that_onnx_reads(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    model = with_data(*names)
    expected = {
        ExternalDataInfo(tensor).location
        for tensor in model.graph.initializer
        if uses_external_data(tensor)
    }
    assert set(locations(model, tmp_path_factory.getbasetemp())) == expected
