"""Runs whose values are kept: the same answers, whatever came before and whoever runs beside."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from inference_runtime.engine import Cancellation
from inference_runtime.engine.capi import prepared
from inference_runtime.engine.capi.prepared import PreparedRun, PreparedRuns
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.engine.stock import StockEngine
from inference_runtime.errors import InvalidInput
from inference_runtime.tensor import BYTES, FP32, INT64, Tensor, pack_elements
from onnx import helper

from tests.runtime import onnx_models

Load = Callable[[onnx.ModelProto], CapiEngine]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return lambda model: CapiEngine(onnx_models.save(model, tmp_path / "model.onnx"), 1)


@pytest.fixture(autouse=True)
def every_run_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else the machine is doing."""
    monkeypatch.setattr(prepared, "MOST_SECONDS", 60.0)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[PreparedRun]:
    """Who ran, each time that a prepared run did."""
    seen: list[PreparedRun] = []
    run = PreparedRun.run
    monkeypatch.setattr(
        PreparedRun, "run", lambda self, *given: seen.append(self) or run(self, *given)
    )
    return seen


def floats(*shape: int, seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return Tensor(FP32, shape, values.tobytes())


def integers(*values: int) -> Tensor:
    return Tensor(INT64, [len(values)], np.array(values, np.int64).tobytes())


def described(outputs: dict[str, Tensor]) -> dict[str, object]:
    return {name: (t.datatype, t.shape, bytes(t.buffer), t.labels) for name, t in outputs.items()}


def random_numbers() -> onnx.ModelProto:
    noise = helper.make_node("RandomNormalLike", ["x"], ["y"], dtype=1)
    shapes = [onnx_models.tensor(name, "FP32", ["N", 2]) for name in ("x", "y")]
    return onnx_models.model([noise], shapes[:1], shapes[1:])


def test_answers_are_those_of_the_stock_engine(
    load: Load, tmp_path: Path, runs: list[object]
) -> None:
    engine = load(onnx_models.sum_and_product())
    stock = StockEngine(str(tmp_path / "model.onnx"), 1)
    for seed in range(30):
        rows = seed % 3 + 1
        inputs = {"a": floats(rows, 2, seed=seed), "b": floats(rows, 2, seed=seed + 100)}
        for names in (["sum", "product"], ["product"]):
            assert described(engine.run(inputs, names)) == described(stock.run(inputs, names))
    assert len(runs) > 20


def test_an_answer_stays_when_the_next_is_made(load: Load, runs: list[object]) -> None:
    engine = load(onnx_models.identity("FP32"))
    answers = [engine.run({"x": floats(1, 3, seed=seed)}, ["y"])["y"] for seed in range(20)]
    assert [bytes(answer.buffer) for answer in answers] == [
        bytes(floats(1, 3, seed=seed).buffer) for seed in range(20)
    ]
    assert runs


def test_class_labels_are_kept(runs: list[object]) -> None:
    path = Path(__file__).parents[2] / "models" / "digits" / "digits.onnx"
    engine = CapiEngine(str(path), 1)
    answers = [engine.run({"pixels": floats(1, 64)}, ["probabilities"]) for _ in range(10)]
    assert {str(described(answer)) for answer in answers} == {str(described(answers[0]))}
    assert answers[-1]["probabilities"].labels == list(range(10))
    assert runs


def test_threads_do_not_share_values(load: Load, runs: list[PreparedRun]) -> None:
    engine = load(onnx_models.identity("FP32", ["N", 1000]))

    def ask(seed: int) -> bool:
        sent = floats(1, 1000, seed=seed)
        return engine.run({"x": sent}, ["y"], Cancellation())["y"].buffer == sent.buffer

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(2000)))
    assert len(set(runs)) > 1


def test_a_model_of_chance_is_never_prepared(load: Load, runs: list[object]) -> None:
    engine = load(random_numbers())
    answers = {bytes(engine.run({"x": floats(1, 2)}, ["y"])["y"].buffer) for _ in range(30)}
    assert len(answers) == 30
    assert len(runs) == 1  # the one that showed it


def test_outputs_whose_shape_depends_on_values_are_right(load: Load, runs: list[object]) -> None:
    engine = load(onnx_models.zeros())
    for count in [4] * 10 + [5, 4, 6, 4, 7, 4] * 10:
        assert engine.run({"count": integers(count)}, ["zeros"])["zeros"].shape == (count,)
    seen = len(runs)
    engine.run({"count": integers(4)}, ["zeros"])
    assert len(runs) == seen  # It was given up.


def test_a_refused_input_spoils_nothing(load: Load, runs: list[object]) -> None:
    engine = load(onnx_models.lookup())
    for _ in range(30):
        assert engine.run({"index": integers(1)}, ["row"])["row"].buffer.cast("f").tolist() == [
            10.0,
            11.0,
        ]
        with pytest.raises(InvalidInput, match="out of data bounds"):
            engine.run({"index": integers(7)}, ["row"])
    assert len(runs) > 30


def test_a_run_that_was_ended_does_not_end_the_next(load: Load) -> None:
    engine = load(onnx_models.identity("FP32"))
    for _ in range(10):
        engine.run({"x": floats(1, 3)}, ["y"])
    for _ in range(3):
        ended = Cancellation()
        ended.cancel()
        with pytest.raises(ended.reason.__class__):
            engine.run({"x": floats(1, 3)}, ["y"], ended)
        assert engine.run({"x": floats(1, 3)}, ["y"], Cancellation())


def test_strings_are_not_kept(load: Load, runs: list[object]) -> None:
    engine = load(onnx_models.identity("BYTES"))
    for texts in ([b"a", b"b", b"c"], [b"d", b"e", b"f"], [b"", b"longer", b"\0"]) * 5:
        given = Tensor(BYTES, [1, 3], pack_elements(texts))
        assert engine.run({"x": given}, ["y"])["y"].buffer == given.buffer
    assert not runs


def test_large_values_are_not_kept(load: Load, runs: list[object]) -> None:
    engine = load(onnx_models.identity("FP32"))
    for _ in range(10):
        engine.run({"x": floats(10_000, 3)}, ["y"])
    assert not runs


def test_what_is_kept_is_bounded() -> None:
    made = 0

    def make(_inputs: object, outputs: dict[str, Tensor]) -> PreparedRun:
        nonlocal made
        made += 1
        run = object.__new__(PreparedRun)
        run.run = lambda *_: outputs  # type: ignore[method-assign]
        return run

    kept = PreparedRuns(make)
    for rows in range(1, 5000):
        tensors = {"x": floats(1, 3)}
        form = (("x",), ((rows, 3),), ("y",))
        for _ in range(6):
            kept.learn(form, tensors, tensors, 0.0)
    assert made <= prepared.MOST_FORMS * 8
