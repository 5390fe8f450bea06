"""The engine over the C library, held to the stock engine: the same graph, the same bits."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_runtime.engine import Cancellation
from inference_runtime.engine.capi import NeedsStockEngine
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.engine.stock import StockEngine
from inference_runtime.errors import (
    DeadlineExceeded,
    InferenceError,
    InvalidInput,
    ModelFailed,
    ModelNotLoaded,
)
from inference_runtime.optimize.candidates.onnxruntime_tools import to_ort_format
from inference_runtime.tensor import (
    BOOL,
    BYTES,
    DATATYPES,
    FP32,
    INT64,
    Datatype,
    Tensor,
    pack_elements,
    unpack_elements,
)
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from bench import models as bench_models
from tests.runtime import onnx_models

DIGITS = Path(__file__).parents[2] / "models" / "digits"
NUMERIC = [datatype for datatype in DATATYPES.values() if datatype.itemsize]
SHAPES = st.lists(st.integers(0, 4), max_size=4)

Both = Callable[[onnx.ModelProto], tuple[CapiEngine, StockEngine]]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    def load(made: onnx.ModelProto) -> tuple[CapiEngine, StockEngine]:
        path = onnx_models.save(made, tmp_path / "model.onnx")
        return CapiEngine(path, 1), StockEngine(path, 1)

    return load


def floats(*shape: int, seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return Tensor(FP32, shape, values.data)


def integers(*values: int) -> Tensor:
    return Tensor(INT64, [len(values)], np.array(values, np.int64).data)


def strings(shape: list[int], *elements: bytes) -> Tensor:
    return Tensor(BYTES, shape, pack_elements(elements))


def described(outputs: dict[str, Tensor]) -> dict[str, object]:
    return {
        name: (tensor.datatype, tensor.shape, bytes(tensor.buffer), tensor.labels)
        for name, tensor in outputs.items()
    }


def declared(engine: CapiEngine | StockEngine) -> list[tuple[str, str, bool]]:
    specs = [*engine.signature.inputs.values(), *engine.signature.outputs.values()]
    return [(spec.name, str(spec), spec.optional) for spec in specs]


def assert_alike(engines: tuple[CapiEngine, StockEngine], inputs: dict[str, Tensor]) -> None:
    capi, stock = engines
    assert declared(capi) == declared(stock)
    names = list(stock.signature.outputs)
    assert described(capi.run(inputs, names)) == described(stock.run(inputs, names))


class TestSameAnswersAsStock:
    @pytest.mark.parametrize("datatype", NUMERIC, ids=str)
    def test_any_bits_of_any_datatype_in_any_shape(self, datatype: Datatype, both: Both) -> None:
        by_rank = {
            rank: both(onnx_models.identity(datatype.name, [f"d{i}" for i in range(rank)]))
            for rank in range(5)
        }

        @settings(max_examples=40, deadline=None)
        @given(shape=SHAPES, data=st.data())
        def check(shape: list[int], data: st.DataObject) -> None:
            size = prod(shape) * datatype.itemsize
            content = data.draw(st.binary(min_size=size, max_size=size))
            if datatype is BOOL:
                content = bytes(byte & 1 for byte in content)
            capi, _ = by_rank[len(shape)]
            tensor = Tensor(datatype, shape, content)
            assert_alike(by_rank[len(shape)], {"x": tensor})
            answer = capi.run({"x": tensor}, ["y"])["y"]
            assert (answer.shape, bytes(answer.buffer)) == (tuple(shape), content)

        check()

    def test_digits_with_their_class_labels(self) -> None:
        path = str(DIGITS / "digits.onnx")
        engines = CapiEngine(path, 1), StockEngine(path, 1)
        samples = json.loads((DIGITS / "samples.json").read_text())
        pixels = np.array([sample["pixels"] for sample in samples], np.float32)
        inputs = {"pixels": Tensor(FP32, pixels.shape, pixels.data)}
        assert_alike(engines, inputs)
        answer = engines[0].run(inputs, ["label", "probabilities"])
        assert answer["label"].buffer.cast("q").tolist() == [s["label"] for s in samples]
        assert answer["probabilities"].labels == list(range(10))
        assert answer["label"].labels is None

    @pytest.mark.parametrize(
        "classifier",
        [LogisticRegression(max_iter=300), RandomForestClassifier(20, random_state=0)],
        ids=lambda classifier: type(classifier).__name__,
    )
    def test_classifiers_of_scikit_learn(self, classifier: object, both: Both) -> None:
        features, labels = load_iris(return_X_y=True)
        features = features.astype(np.float32)
        classifier.fit(features, labels)  # type: ignore[attr-defined]
        options = {id(classifier): {"zipmap": False}}
        made = to_onnx(classifier, features[:1], options=options, target_opset={"": 18})
        assert_alike(both(made), {"X": Tensor(FP32, features.shape, features.copy().data)})

    @pytest.mark.parametrize("threads", [1, 2])
    def test_a_convolution_net(self, tmp_path: Path, threads: int) -> None:
        made = bench_models.resnet(widths=(8, 16), blocks=1, image=32)
        path = onnx_models.save(made, tmp_path / "model.onnx")
        engines = CapiEngine(path, threads), StockEngine(path, threads)
        for batch in (1, 3):
            assert_alike(engines, {"image": floats(batch, 3, 32, 32)})

    def test_a_transformer(self, both: Both) -> None:
        made = bench_models.encoder(layers=2, width=32, heads=4, inner=64, vocabulary=100)
        engines = both(made)
        for batch, length in ((1, 7), (2, 16)):
            ids = np.random.default_rng(1).integers(0, 100, (batch, length))
            ones = np.ones((batch, length), np.int64)
            inputs = {
                "input_ids": Tensor(INT64, ids.shape, ids.data),
                "attention_mask": Tensor(INT64, ids.shape, ones.data),
                "token_type_ids": Tensor(INT64, ids.shape, (ones - 1).data),
            }
            assert_alike(engines, inputs)

    def test_several_inputs_and_outputs(self, both: Both) -> None:
        engines = both(onnx_models.sum_and_product())
        inputs = {"b": floats(3, 2, seed=1), "a": floats(3, 2, seed=2)}
        assert_alike(engines, inputs)
        assert list(engines[0].run(inputs, ["product", "sum"])) == ["product", "sum"]
        assert list(engines[0].run(inputs, ["product"])) == ["product"]

    def test_an_input_with_a_default(self, both: Both) -> None:
        engines = both(onnx_models.scaled(10.0))
        assert engines[0].signature.inputs["factor"].optional
        assert_alike(engines, {"x": floats(2, 2)})
        assert_alike(engines, {"x": floats(2, 2), "factor": floats(1)})

    @pytest.mark.parametrize("rows", [0, 1, 5])
    def test_a_scalar_output(self, both: Both, rows: int) -> None:
        engines = both(onnx_models.total())
        assert_alike(engines, {"x": floats(rows, 2)})
        assert engines[0].run({"x": floats(rows, 2)}, ["total"])["total"].shape == ()

    def test_named_unnamed_and_fixed_dimensions(self, both: Both) -> None:
        capi, _ = engines = both(onnx_models.identity("FP32", ["rows", None, 3]))
        assert capi.signature.inputs["x"].shape == ("rows", None, 3)
        assert_alike(engines, {"x": floats(2, 4, 3)})

    def test_weights_beside_the_model(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        onnx.save(bench_models.perceptron((8, 4, 2)), path, save_as_external_data=True,
                  location="weights.bin", size_threshold=0)  # fmt: skip
        assert (tmp_path / "weights.bin").exists()
        engines = CapiEngine(str(path), 1), StockEngine(str(path), 1)
        assert_alike(engines, {"features": floats(3, 8)})


class TestBuffers:
    """Where the elements of an input may lie, and who owns those of an output."""

    @pytest.mark.parametrize("offset", range(4))
    def test_a_slice_of_a_larger_buffer(self, both: Both, offset: int) -> None:
        values = np.arange(6, dtype=np.float32)
        request = bytes(offset) + values.tobytes()
        for whole in (request, bytearray(request)):
            part = memoryview(whole)[offset:]
            assert_alike(both(onnx_models.identity("FP32")), {"x": Tensor(FP32, (2, 3), part)})

    def test_an_output_outlives_its_engine_and_later_runs(self, both: Both) -> None:
        capi, _ = both(onnx_models.identity("FP32", ["N"]))
        first = capi.run({"x": floats(100_000, seed=1)}, ["y"])["y"]
        for seed in range(20):
            capi.run({"x": floats(100_000, seed=seed)}, ["y"])
        del capi, _
        gc.collect()
        assert bytes(first.buffer) == bytes(floats(100_000, seed=1).buffer)

    def test_the_input_is_left_as_it_was_and_free_to_change(self, both: Both) -> None:
        capi, _ = both(onnx_models.scaled())
        content = bytearray(floats(4, 2).buffer)
        before = bytes(content)
        capi.run({"x": Tensor(FP32, (4, 2), content)}, ["y"])
        assert content == before
        content.extend(b"more")  # a buffer that is still pointed at refuses to grow


class TestFailures:
    @pytest.mark.parametrize(
        ("made", "inputs", "expected"),
        [
            (onnx_models.lookup(), {"index": integers(7)}, InvalidInput),
            (onnx_models.zeros(), {"count": integers(-5)}, InvalidInput),
            (onnx_models.zeros(), {"count": integers(1 << 62)}, InvalidInput),
            (onnx_models.zeros(), {"count": integers(1 << 45)}, ModelFailed),
            (onnx_models.scaled(), {"x": floats(2, 3)}, InvalidInput),
            (onnx_models.scaled(), {"x": integers(1, 2)}, InvalidInput),
            (onnx_models.shout(), {"text": strings([1, 3], b"a", b"b", b"c")}, InvalidInput),
            (onnx_models.shout(), {"text": floats(1, 2)}, InvalidInput),
            (onnx_models.scaled(), {"x": strings([1, 2], b"a", b"b")}, InvalidInput),
        ],
        ids=[
            "index",
            "negative",
            "overflow",
            "memory",
            "shape",
            "datatype",
            "shape of strings",
            "numbers for strings",
            "strings for numbers",
        ],
    )
    def test_a_run_fails_as_in_stock_with_the_same_text(
        self,
        both: Both,
        made: onnx.ModelProto,
        inputs: dict[str, Tensor],
        expected: type[InferenceError],
    ) -> None:
        texts = set()
        for engine in both(made):
            with pytest.raises(expected) as raised:
                engine.run(inputs, list(engine.signature.outputs))
            texts.add(str(raised.value))
        assert len(texts) == 1

    @pytest.mark.parametrize("engine", [CapiEngine, StockEngine])
    @pytest.mark.parametrize("cancellation", [None, Cancellation()])
    def test_onnxruntime_writes_no_line_of_its_own(
        self,
        engine: type[CapiEngine] | type[StockEngine],
        cancellation: Cancellation | None,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """What it returns, our log tells, or the caller."""
        path = onnx_models.save(onnx_models.lookup(), tmp_path / "model.onnx")
        loaded = engine(path, 1)
        with pytest.raises(InvalidInput, match="indices element out of data bounds"):
            loaded.run({"index": integers(7)}, ["row"], cancellation)
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("content", [None, b"", b"not a model", b"\x08\x09"])
    def test_a_file_that_is_no_model(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "model.onnx"
        if content is not None:
            path.write_bytes(content)
        texts = set()
        for engine in (CapiEngine, StockEngine):
            with pytest.raises(ModelNotLoaded, match=r"model\.onnx cannot be loaded: ") as raised:
                engine(str(path), 1)
            texts.add(str(raised.value))
        assert len(texts) == 1

    def test_labels_that_are_no_list(self, tmp_path: Path) -> None:
        made = onnx_models.identity("FP32")
        helper.set_model_props(made, {"class_labels": "cat, dog"})
        path = onnx_models.save(made, tmp_path / "model.onnx")
        for engine in (CapiEngine, StockEngine):
            with pytest.raises(ModelNotLoaded, match="'class_labels' is 'cat, dog'"):
                engine(path, 1)

    @pytest.mark.parametrize(
        ("made", "name"),
        [
            (onnx_models.zipmap_classifier([0, 1]), "probabilities"),
            (onnx_models.sequence_of_tensors(), "y"),
            (onnx_models.sparse_product(), "matrix"),
            (onnx_models.optional_tensor(), "maybe"),
        ],
    )
    def test_what_is_no_tensor_needs_the_stock_engine(
        self, tmp_path: Path, made: onnx.ModelProto, name: str
    ) -> None:
        path = onnx_models.save(made, tmp_path / "model.onnx")
        with pytest.raises(NeedsStockEngine, match=f"'{name}' is no tensor"):
            CapiEngine(path, 1)


class TestStrings:
    def test_texts_of_any_shape_are_those_of_the_stock_engine(self, both: Both) -> None:
        by_rank = [
            both(onnx_models.identity("BYTES", [f"d{i}" for i in range(rank)])) for rank in range(5)
        ]

        @settings(max_examples=100, deadline=None)
        @given(shape=SHAPES, data=st.data())
        def check(shape: list[int], data: st.DataObject) -> None:
            count = prod(shape)
            texts = data.draw(st.lists(st.text(), min_size=count, max_size=count))
            given = strings(shape, *(text.encode() for text in texts))
            assert_alike(by_rank[len(shape)], {"x": given})

        check()

    @settings(max_examples=200, deadline=None)
    @given(elements=st.lists(st.binary()))
    def test_any_bytes_pass_through(self, elements: list[bytes]) -> None:
        answer = strings_as_they_are().run({"x": strings([len(elements)], *elements)}, ["y"])["y"]
        assert answer.shape == (len(elements),)
        assert unpack_elements(answer.buffer) == elements

    @pytest.mark.parametrize(
        "elements",
        [
            [],
            [b""],
            [b"", b"", b"\0", b"", b"a\0b\0", b""],
            [bytes(1 << 20), b"", b"a" * (1 << 20), "é".encode() * (1 << 19)],
            [str(number).encode() for number in range(50_000)],
        ],
        ids=["none", "empty", "NUL", "a megabyte each", "many"],
    )
    def test_of_any_length_and_number(self, both: Both, elements: list[bytes]) -> None:
        given = strings([len(elements)], *elements)
        assert_alike(both(onnx_models.identity("BYTES", ["N"])), {"x": given})

    def test_they_are_computed_with(self, both: Both) -> None:
        engines = both(onnx_models.shout())
        assert_alike(engines, {"text": strings([2, 2], b"a\0b", b"", "é".encode(), b"\0")})
        assert_alike(engines, {"text": strings([0, 2])})
        answer = engines[0].run({"text": strings([1, 2], b"\xff", b"\0\xfe")}, ["shouted"])
        assert unpack_elements(answer["shouted"].buffer) == [b"\xff!", b"\0\xfe!"]

    def test_a_slice_of_a_request_is_read_where_it_is(self) -> None:
        packed = pack_elements([b"a", b"bc"])
        given = Tensor(BYTES, [2], memoryview(b"before" + packed + b"after")[6 : 6 + len(packed)])
        answer = strings_as_they_are().run({"x": given}, ["y"])["y"]
        assert bytes(answer.buffer) == packed

    def test_numbers_and_strings_in_one_run(self, both: Both) -> None:
        inputs = {"x": floats(3), "text": strings([2], b"a", b"")}
        assert_alike(both(numbers_and_strings()), inputs)

    def test_a_default_that_is_a_string(self, both: Both) -> None:
        made = onnx_models.shout()
        made.graph.input.append(onnx_models.tensor("mark", "BYTES", [1]))
        engines = both(made)
        text = strings([1, 2], b"a", b"b")
        assert_alike(engines, {"text": text})
        assert_alike(engines, {"text": text, "mark": strings([1], b"?")})

    def test_a_classifier_whose_label_is_a_name(self, both: Both) -> None:
        features, labels = load_iris(return_X_y=True)
        features = features.astype(np.float32)
        names = np.array(["setosa", "versicolor", "virginica"])[labels]
        classifier = LogisticRegression(max_iter=300).fit(features, names)
        options = {id(classifier): {"zipmap": False}}
        made = to_onnx(classifier, features[:1], options=options, target_opset={"": 18})
        assert_alike(both(made), {"X": Tensor(FP32, features.shape, features.copy().data)})

    def test_a_model_in_onnxruntimes_format(self, tmp_path: Path) -> None:
        path = onnx_models.save(onnx_models.shout(), tmp_path / "model.onnx")
        to_ort_format(path, str(tmp_path / "model.ort"))
        answer = CapiEngine(str(tmp_path / "model.ort"), 1).run(
            {"text": strings([1, 2], b"a", b"b")}, ["shouted"]
        )
        assert unpack_elements(answer["shouted"].buffer) == [b"a!", b"b!"]

    @pytest.mark.parametrize("elements", [[], [b"a"], [b"a"] * 3], ids=len)
    def test_others_than_the_shape_asks_for_are_refused(
        self, both: Both, elements: list[bytes]
    ) -> None:
        for engine in both(onnx_models.identity("BYTES", ["N"])):
            with pytest.raises(ValueError, match="2"):
                engine.run({"x": strings([2], *elements)}, ["y"])

    def test_a_run_ends_when_it_is_cancelled(self, both: Both) -> None:
        made = endless()
        text, spoken = (onnx_models.tensor(name, "BYTES", ["N"]) for name in ("text", "spoken"))
        made.graph.node.append(helper.make_node("Identity", ["text"], ["spoken"]))
        made.graph.input.append(text)
        made.graph.output.append(spoken)
        capi, _ = both(made)
        inputs = {"start": floats(64, 64), "text": strings([1], b"a")}
        for delay in (0.0, 0.05):
            cancellation = Cancellation()
            timer = Timer(delay, cancellation.cancel)
            timer.start()
            with pytest.raises(DeadlineExceeded):
                capi.run(inputs, ["end", "spoken"], cancellation)
            timer.join()

    def test_concurrent_runs_get_their_own_answers(self) -> None:
        engine = strings_as_they_are()

        def comes_back(seed: int) -> bool:
            given = strings([seed % 40], *(bytes([seed % 256]) * n for n in range(seed % 40)))
            answer = engine.run({"x": given}, ["y"], Cancellation())["y"]
            return answer.shape == given.shape and answer.buffer == given.buffer

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(comes_back, range(1000)))


@cache
def strings_as_they_are() -> CapiEngine:
    """``y = x``."""
    with TemporaryDirectory() as folder:
        made = onnx_models.identity("BYTES", ["N"])
        return CapiEngine(onnx_models.save(made, Path(folder) / "model.onnx"), 1)


def numbers_and_strings() -> onnx.ModelProto:
    """``y = x`` and ``spoken = text``."""
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in (("x", "y"), ("text", "spoken"))]
    numbers = [onnx_models.tensor(name, "FP32", ["N"]) for name in ("x", "y")]
    texts = [onnx_models.tensor(name, "BYTES", ["M"]) for name in ("text", "spoken")]
    return onnx_models.model(nodes, [numbers[0], texts[0]], [numbers[1], texts[1]])


def endless() -> onnx.ModelProto:
    """A loop that takes hours: each turn multiplies two matrices."""
    turn = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["x", "x"], ["squared"]),
            helper.make_node("Clip", ["squared", "low", "high"], ["next"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn_number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [64, 64]),
        ],
    )
    constants = [
        helper.make_tensor("turns", TensorProto.INT64, [], [1 << 40]),
        helper.make_tensor("go_first", TensorProto.BOOL, [], [True]),
        helper.make_tensor("low", TensorProto.FLOAT, [], [-1.0]),
        helper.make_tensor("high", TensorProto.FLOAT, [], [1.0]),
    ]
    node = helper.make_node("Loop", ["turns", "go_first", "start"], ["end"], body=turn)
    matrices = [onnx_models.tensor(name, "FP32", [64, 64]) for name in ("start", "end")]
    return onnx_models.model([node], matrices[:1], matrices[1:], constants)


class TestCancellation:
    @pytest.mark.parametrize("delay", [0.0, 0.05])
    def test_a_run_ends_when_it_is_cancelled(self, both: Both, delay: float) -> None:
        inputs = {"start": floats(64, 64)}
        for engine in both(endless()):
            cancellation = Cancellation()
            timer = Timer(delay, cancellation.cancel)
            timer.start()
            with pytest.raises(DeadlineExceeded):
                engine.run(inputs, ["end"], cancellation)
            timer.join()

    def test_one_cancelled_before_it_started_does_not_run(self, both: Both) -> None:
        cancellation = Cancellation()
        cancellation.cancel()
        with pytest.raises(DeadlineExceeded):
            both(endless())[0].run({"start": floats(64, 64)}, ["end"], cancellation)

    def test_one_that_is_done_answers_and_may_be_cancelled_after(self, both: Both) -> None:
        capi, _ = both(onnx_models.scaled())
        cancellation = Cancellation()
        assert capi.run({"x": floats(1, 2)}, ["y"], cancellation)["y"].shape == (1, 2)
        cancellation.cancel()


class TestThreads:
    def test_concurrent_runs_get_their_own_answers(self, tmp_path: Path) -> None:
        made = bench_models.perceptron((32, 64, 8))
        engine = CapiEngine(onnx_models.save(made, tmp_path / "model.onnx"), 1)
        requests = [{"features": floats(1 + seed % 5, 32, seed=seed)} for seed in range(400)]

        def answer(inputs: dict[str, Tensor]) -> dict[str, object]:
            return described(engine.run(inputs, ["probabilities"]))

        alone = [answer(inputs) for inputs in requests]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(answer, requests)) == alone

    def test_a_long_run_lets_other_threads_work(self, both: Both) -> None:
        capi, _ = both(endless())
        cancellation = Cancellation()
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(capi.run, {"start": floats(64, 64)}, ["end"], cancellation)
            assert sum(range(1_000_000)) > 0
            assert not run.done()
            cancellation.cancel()
            assert isinstance(run.exception(30), DeadlineExceeded)
