"""What each recipe makes of a perceptron, a convolution net and a transformer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from inference_runtime.engine import selection
from inference_runtime.optimize import model_file
from inference_runtime.optimize.accuracy import Accuracy, compare
from inference_runtime.optimize.candidates import MAKERS
from inference_runtime.optimize.candidates.onnxruntime_tools import to_ort_format
from inference_runtime.optimize.candidates.workshop import Workshop
from inference_runtime.optimize.errors import DoesNotApply
from inference_runtime.optimize.recipes import RECIPES
from onnx import numpy_helper

from tests.runtime.onnx_models import sum_and_product
from tests.runtime.optimize import models

KINDS = {
    "dense": (models.dense, models.feature_arrays),
    "convolutions": (models.convolutions, models.image_arrays),
    "transformer": (models.transformer, models.token_arrays),
}
# Of random weights, whose activations are no better behaved than a trained model's.
LARGEST_ERROR = {"fp16": 0.01, "int8-dynamic": 0.1, "int8-static": 0.1, "int4": 0.4, "pruned": 1.5}


class Bench:
    """A model of one kind in a folder, and what recipes make of it."""

    def __init__(self, kind: str, folder: Path) -> None:
        make, arrays = KINDS[kind]
        self.folder = folder
        self.original = str(folder / "original.onnx")
        model_file.write(make(), self.original)
        self.samples = models.samples_of(self.original, arrays(), folder)
        (folder / "workshop").mkdir()
        self.workshop = Workshop(self.original, str(folder / "workshop"), self.samples, "bert")

    def make(self, recipe: str) -> str:
        path = str(self.folder / f"{recipe}.onnx")
        MAKERS[recipe](self.workshop, path)
        return path

    def accuracy(self, path: str) -> Accuracy:
        engines = [selection.load(file, threads=1) for file in (self.original, path)]
        ours, theirs = (
            [engine.run(run, list(engine.signature.outputs)) for run in self.samples.runs()]
            for engine in engines
        )
        return compare(ours, theirs)


def operators(path: str) -> Counter[str]:
    return Counter(node.op_type for node in model_file.read(path, weights=False).graph.node)


def test_every_recipe_has_a_maker() -> None:
    assert list(MAKERS) == list(RECIPES)


@pytest.mark.parametrize("recipe", ["int8-dynamic", "int8-static"])
def test_8_bit_weights_use_7_of_their_bits(recipe: str, tmp_path: Path) -> None:
    made = model_file.read(Bench("dense", tmp_path).make(recipe))
    weights = [t for t in made.graph.initializer if t.data_type == onnx.TensorProto.INT8 and t.dims]
    largest = [int(np.abs(numpy_helper.to_array(t).astype(int)).max()) for t in weights]
    assert max(largest) == 64, "more would saturate on x86 without VNNI"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_recipe_makes_answers_like_the_original(kind: str, tmp_path: Path) -> None:
    bench = Bench(kind, tmp_path)
    made = []
    for recipe in RECIPES:
        try:
            path = bench.make(recipe)
        except DoesNotApply:
            continue
        made.append(recipe)
        assert bench.accuracy(path).max_error <= LARGEST_ERROR.get(recipe, 1e-3), recipe
    expected = set(RECIPES) - {"fused" if kind != "transformer" else "layout"}
    assert set(made) == expected - ({"layout"} if kind == "dense" else set())


def test_lower_precisions_are_smaller(tmp_path: Path) -> None:
    bench = Bench("dense", tmp_path)
    original = model_file.size(bench.original)
    sizes = {name: model_file.size(bench.make(name)) / original for name in RECIPES if name in
             ("fp16", "int8-dynamic", "int8-static", "int4")}  # fmt: skip
    assert sizes["fp16"] == pytest.approx(0.5, abs=0.02)
    assert sizes["int8-dynamic"] == pytest.approx(0.26, abs=0.02)
    assert sizes["int8-static"] == pytest.approx(0.26, abs=0.02)
    assert sizes["int4"] == pytest.approx(0.16, abs=0.02)


def test_a_transformer_is_fused(tmp_path: Path) -> None:
    bench = Bench("transformer", tmp_path)
    before, after = operators(bench.original), operators(bench.workshop.fused)
    assert (before["Erf"], after["Erf"]) == (2, 0)
    assert after["BiasGelu"] == 2
    assert after["SkipLayerNormalization"] == 4


def test_what_is_the_same_on_every_processor_has_no_processor_s_layout(tmp_path: Path) -> None:
    bench = Bench("convolutions", tmp_path)

    def domains(path: str) -> set[str]:
        return {node.domain for node in model_file.read(path, weights=False).graph.node}

    assert "com.microsoft.nchwc" in domains(bench.make("layout"))
    for recipe in ("graph", "int8-static", "fp16"):
        assert "com.microsoft.nchwc" not in domains(bench.make(recipe))


def test_large_weights_are_external_and_small_ones_are_not(tmp_path: Path) -> None:
    bench = Bench("dense", tmp_path)
    assert model_file.files_of(bench.original) == ["original.onnx", "original.onnx.data"]
    assert model_file.files_of(bench.make("graph")) == ["graph.onnx", "graph.onnx.data"]
    assert Path(bench.make("graph")).stat().st_size < 100_000
    (small := tmp_path / "small").mkdir()
    assert model_file.files_of(Bench("transformer", small).make("graph")) == ["graph.onnx"]


def test_class_labels_are_kept(tmp_path: Path, digits: Path) -> None:
    path = str(digits / "digits.onnx")
    pixels = {"pixels": np.random.default_rng(1).random((4, 64), np.float32)}
    workshop = Workshop(path, str(tmp_path), models.samples_of(path, pixels, tmp_path), "bert")
    labels = model_file.metadata(model_file.read(path))["class_labels"]
    for recipe in RECIPES:
        target = str(tmp_path / f"{recipe}-made.onnx")
        try:
            MAKERS[recipe](workshop, target)
        except DoesNotApply:
            continue
        assert model_file.metadata(model_file.read(target))["class_labels"] == labels, recipe


def test_half_of_the_weights_are_zero_when_pruned_and_it_takes_as_much_room(tmp_path: Path) -> None:
    bench = Bench("dense", tmp_path)
    pruned, plain = bench.make("pruned"), bench.make("graph")
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in model_file.read(pruned).graph.initializer
        if len(tensor.dims) == 2
    ]
    share = sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights)
    assert share == pytest.approx(0.5, abs=0.01)
    assert model_file.size(pruned) == pytest.approx(model_file.size(plain), rel=0.01)
    assert model_file.compressed_size(pruned) < 0.7 * model_file.compressed_size(plain)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("fused", "no attention, GELU or layer norm of a bert transformer"),
        ("layout", "no convolutions"),
        ("fp16", "no weights of 32-bit floats"),
        ("int8-dynamic", "no matrix product with constant weights"),
        ("int8-static", "no operator that can be calibrated"),
        ("int4", "no matrix product with constant weights"),
        ("pruned", "no weight matrices"),
    ],
)
def test_a_model_without_weights_has_nothing_to_gain(
    tmp_path: Path, recipe: str, reason: str
) -> None:
    path = models.save(sum_and_product(), tmp_path)
    rows = {name: np.ones((3, 2), np.float32) for name in "ab"}
    workshop = Workshop(path, str(tmp_path), models.samples_of(path, rows, tmp_path), "bert")
    with pytest.raises(DoesNotApply, match=reason):
        MAKERS[recipe](workshop, str(tmp_path / "out.onnx"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_ort_format_answers_alike(kind: str, tmp_path: Path) -> None:
    bench = Bench(kind, tmp_path)
    ort = str(tmp_path / "model.ort")
    to_ort_format(bench.make("graph"), ort)
    assert bench.accuracy(ort).max_error < 1e-3
    assert model_file.files_of(ort) == ["model.ort"]


def test_external_data_outside_the_model_s_folder_is_refused(tmp_path: Path) -> None:
    model = models.dense()
    path = str(tmp_path / "model.onnx")
    onnx.save(model, path, save_as_external_data=True, location="model.data")
    changed = onnx.load(path, load_external_data=False)
    for tensor in changed.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../model.data"
    Path(path).write_bytes(changed.SerializeToString())
    with pytest.raises(Exception, match="outside its own folder"):
        model_file.files_of(path)
