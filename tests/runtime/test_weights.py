"""Weights that the engine maps itself, where the manifest tells it where they are."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from inference_runtime import manifest
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.engine.options import LoadOptions
from inference_runtime.engine.weights import Weight, Weights
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.optimize import weight_places
from inference_runtime.tensor import INT64, Tensor
from onnx import TensorProto, helper, numpy_helper

from tests.runtime.manifests import entry, write
from tests.runtime.perceptron import answer, mappings, optimized


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An optimised perceptron with its weights beside it."""
    folder = tmp_path_factory.mktemp("perceptron")
    made = onnx.load(optimized(folder))
    onnx.save(made, folder / "inline.onnx")
    save_external(made, folder / "model.onnx")
    return folder / "model.onnx"


def save_external(made: onnx.ModelProto, path: Path) -> None:
    onnx.save(
        made, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0
    )


def found(path: Path) -> Weights:
    weights = weight_places.find(str(path))
    assert weights is not None
    return weights


def engine(path: Path, weights: Weights | None, **options: bool) -> CapiEngine:
    load = LoadOptions(optimize_graph=False, weights=weights, **options)
    return CapiEngine(str(path), 1, load)


@pytest.mark.parametrize("prepack", [False, True])
def test_the_answers_are_those_of_the_paths_in_the_graph_bit_for_bit(
    path: Path, prepack: bool
) -> None:
    by_path = engine(path, None, prepack=prepack)
    assert answer(engine(path, found(path), prepack=prepack)) == answer(by_path)


def test_the_file_is_mapped_once_and_as_long_as_the_session_lives(path: Path) -> None:
    gc.collect()
    before = mappings(Path(f"{path}.data"))
    mapped = engine(path, found(path), prepack=False)
    assert mappings(Path(f"{path}.data")) == before + 1
    assert len(found(path).tensors) > 1
    first = answer(mapped)
    gc.collect()
    assert answer(mapped) == first
    del mapped
    gc.collect()
    assert mappings(Path(f"{path}.data")) == before


def test_values_of_other_bytes_would_show(path: Path) -> None:
    """So the session takes its weights from where it is told, and not from the file's paths."""
    moved = found(path)
    for weight in moved.tensors:
        weight.offset = 0
    assert answer(engine(path, moved)) != answer(engine(path, None))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"offset": 1 << 40}, "model.onnx.data ends before the weight"),
        ({"size": 3}, "not enough space"),
    ],
)
def test_a_weight_that_does_not_fit_is_told(
    path: Path, change: dict[str, int], reason: str
) -> None:
    weights = found(path)
    for name, value in change.items():
        setattr(weights.tensors[0], name, value)
    with pytest.raises(ModelNotLoaded, match=reason):
        engine(path, weights)


def test_a_missing_file_is_told(path: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(path.read_bytes())
    with pytest.raises(ModelNotLoaded, match=r"model\.onnx"):
        engine(tmp_path / "model.onnx", found(path))


class TestPlaces:
    def test_what_the_manifest_holds_is_read_back(self, path: Path) -> None:
        weights = found(path)
        read = Weights.from_json(json.loads(json.dumps(weights.json)))
        assert read.json == weights.json
        assert weights.file == "model.onnx.data"
        assert sum(weight.size for weight in weights.tensors) == Path(f"{path}.data").stat().st_size

    @pytest.mark.parametrize("text", ["", "1 3x4 0", "1 3xN 0 48 dense", "float 3 0 12"])
    def test_what_nothing_wrote_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            Weight.parse("w", text)

    def test_an_embedding_s_table_is_not_read_as_a_whole(self, tmp_path: Path) -> None:
        table = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "table")
        bias = numpy_helper.from_array(np.ones(3, np.float32), "bias")
        made = helper.make_model(
            helper.make_graph(
                [
                    helper.make_node("Gather", ["table", "ids"], ["rows"]),
                    helper.make_node("Add", ["rows", "bias"], ["y"]),
                ],
                "embedding",
                [helper.make_tensor_value_info("ids", TensorProto.INT64, [2])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
                [table, bias],
            ),
            opset_imports=[helper.make_opsetid("", 18)], ir_version=9,
        )  # fmt: skip
        path = tmp_path / "model.onnx"
        save_external(made, path)
        weights = found(path)
        assert [(w.name, w.dense) for w in weights.tensors] == [("table", False), ("bias", True)]
        assert list(weights.dense_parts()) == [(weights.tensors[1].offset, 12)]
        rows = engine(path, weights).run({"ids": Tensor(INT64, [2], np.array([3, 0]))}, ["y"])
        assert list(np.frombuffer(rows["y"].buffer, np.float32)) == [10, 11, 12, 1, 2, 3]

    def test_neighbours_are_one_part(self) -> None:
        def weight(offset: int, size: int, *, dense: bool = True) -> Weight:
            return Weight(str(offset), 1, [size // 4], offset, size, dense=dense)

        some = [weight(0, 8, dense=False), weight(8, 4), weight(12, 8), weight(40, 4)]
        assert list(Weights("file", reversed(some)).dense_parts()) == [(8, 12), (40, 4)]
        assert list(Weights("file", [some[0]]).dense_parts()) == []

    def test_weights_in_the_graph_itself_are_left_there(self, path: Path) -> None:
        assert weight_places.find(str(path.with_name("inline.onnx"))) is None

    def test_a_default_that_a_caller_may_replace_is_no_weight(
        self, path: Path, tmp_path: Path
    ) -> None:
        made = onnx.load(path)
        first = made.graph.initializer[0]
        made.graph.input.append(
            helper.make_tensor_value_info(first.name, first.data_type, list(first.dims))
        )
        save_external(made, tmp_path / "model.onnx")
        names = {weight.name for weight in found(tmp_path / "model.onnx").tensors}
        assert names == {tensor.name for tensor in made.graph.initializer} - {first.name}

    def test_where_a_name_may_mean_another_tensor_the_paths_serve(
        self, path: Path, tmp_path: Path
    ) -> None:
        made = onnx.load(path)
        body = helper.make_graph(
            [helper.make_node("Identity", ["c"], ["z"])], "body", [],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
            [numpy_helper.from_array(np.zeros(1, np.float32), "c")],
        )  # fmt: skip
        node = helper.make_node("If", ["on"], ["z"], then_branch=body, else_branch=body)
        made.graph.node.append(node)
        save_external(made, tmp_path / "model.onnx")
        assert weight_places.find(str(tmp_path / "model.onnx")) is None


class TestManifest:
    @pytest.fixture
    def folder(self, path: Path, tmp_path: Path) -> Path:
        for name in ("model.onnx", "optimized.onnx"):
            (tmp_path / name).write_bytes(path.read_bytes())
        (tmp_path / "model.onnx.data").write_bytes(Path(f"{path}.data").read_bytes())
        return tmp_path

    def write(self, folder: Path, weights: object) -> None:
        files = {name: entry(folder / name) for name in ("optimized.onnx", "model.onnx.data")}
        write(folder, served={"file": "optimized.onnx", "files": files, "weights": weights})

    def test_it_tells_the_engine(self, path: Path, folder: Path) -> None:
        self.write(folder, found(path).json)
        served = manifest.served(str(folder / "model.onnx"))
        assert served.path == str(folder / "optimized.onnx")
        assert served.options.weights is not None
        assert served.options.weights.json == found(path).json

    @pytest.mark.parametrize(
        "weights",
        [
            {"file": "other.data", "tensors": {}},
            {"file": "model.onnx.data"},
            {"file": "model.onnx.data", "tensors": {"w": "1 3 0"}},
            [],
        ],
    )
    def test_a_broken_one_does_not_hold(self, folder: Path, weights: object) -> None:
        self.write(folder, weights)
        assert manifest.served(str(folder / "model.onnx")).path == str(folder / "model.onnx")

    def test_a_graph_too_large_to_be_digested_is_not_trusted_with_it(
        self, path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(manifest, "DIGEST_UP_TO_BYTES", 100)
        self.write(folder, found(path).json)
        served = manifest.served(str(folder / "model.onnx"))
        assert served.path == str(folder / "optimized.onnx")
        assert served.options.weights is None
