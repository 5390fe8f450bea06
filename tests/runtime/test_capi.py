"""The engine over the C library, held to the stock engine: the same graph, the same bits."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from threading import Timer

import numpy as np
import onnx
import pytest
from bench import models as bench_models
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_runtime.engine import Cancellation, Engine
from inference_runtime.engine.capi import NeedsStockEngine, library
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.engine.stock import StockEngine
from inference_runtime.errors import (
    DeadlineExceeded,
    InferenceError,
    InvalidInput,
    ModelFailed,
    ModelNotLoaded,
)
from inference_runtime.tensor import BOOL, DATATYPES, FP32, INT64, Datatype, Tensor
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from skl2onnx import to_onnx

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


def described(outputs: dict[str, Tensor]) -> dict[str, object]:
    return {
        name: (tensor.datatype, tensor.shape, bytes(tensor.buffer), tensor.labels)
        for name, tensor in outputs.items()
    }


def declared(engine: Engine) -> list[tuple[str, str, bool]]:
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
        ],
        ids=["index", "negative", "overflow", "memory", "shape", "datatype"],
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
            (onnx_models.shout(), "text"),
            (onnx_models.zipmap_classifier([0, 1]), "probabilities"),
            (onnx_models.sequence_of_tensors(), "y"),
        ],
    )
    def test_what_is_no_numeric_tensor_needs_the_stock_engine(
        self, tmp_path: Path, made: onnx.ModelProto, name: str
    ) -> None:
        path = onnx_models.save(made, tmp_path / "model.onnx")
        with pytest.raises(NeedsStockEngine, match=f"'{name}' is no tensor"):
            CapiEngine(path, 1)


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


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """How often each function of the library was called with something to work on."""
    counts: dict[str, int] = {}
    bind = library.Library._bind

    def counted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            if arguments[0] is not None:
                counts[name] = counts.get(name, 0) + 1
            return function(*arguments)

        return call

    def bind_counted(self: library.Library, api: object) -> None:
        bind(self, api)
        for name, function in list(vars(self).items()):
            if callable(function):
                setattr(self, name, counted(name, function))

    monkeypatch.setattr(library.Library, "_bind", bind_counted)
    return counts


def use_everything(tmp_path: Path) -> None:
    made = onnx_models.scaled()
    helper.set_model_props(made, {"class_labels": '["no", "yes"]'})
    path = onnx_models.save(made, tmp_path / "model.onnx")
    engine = CapiEngine(path, 1)
    engine.run({"x": floats(2, 2)}, ["y"])
    with pytest.raises(InvalidInput):
        engine.run({"x": floats(2, 3)}, ["y"])
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(DeadlineExceeded):
        engine.run({"x": floats(2, 2)}, ["y"], cancellation)
    with pytest.raises(ModelNotLoaded):
        CapiEngine(str(tmp_path / "absent.onnx"), 1)
    for refused in (onnx_models.shout(), onnx_models.sequence_of_tensors()):
        with pytest.raises(NeedsStockEngine):
            CapiEngine(onnx_models.save(refused, tmp_path / "refused.onnx"), 1)


class TestRelease:
    def test_every_function_is_used_and_whatever_is_made_is_released(
        self, calls: dict[str, int], tmp_path: Path
    ) -> None:
        use_everything(tmp_path)
        gc.collect()
        tables = {*library._LONG, *library._SHORT, *library._RELEASES}
        assert tables <= set(calls)
        made = {
            "MemoryInfo": calls["CreateCpuMemoryInfo"],
            "RunOptions": calls["CreateRunOptions"],
            "SessionOptions": calls["CreateSessionOptions"],
            "ModelMetadata": calls["SessionGetModelMetadata"],
            "TypeInfo": sum(count for name, count in calls.items() if name.endswith("TypeInfo")
                            and name.startswith("SessionGet")),
            "TensorTypeAndShapeInfo": calls["GetTensorTypeAndShape"],
            # One that could not be loaded.
            "Session": calls["CreateSession"] - 1,
            # Inputs, and the outputs of the one run that succeeded.
            "Value": calls["CreateTensorWithDataAsOrtValue"] + 1,
        }  # fmt: skip
        assert {kind: calls[f"Release{kind}"] for kind in made} == made
        assert calls["_release_status"] == calls["_error_code"] == 3

    def test_memory_stays_flat(self, tmp_path: Path) -> None:
        script = f"""
import gc
from inference_runtime.engine import Cancellation
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.errors import InferenceError
from inference_runtime.tensor import FP32, INT64, Tensor

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

rows = bytes(1 << 20)
def once():
    engine = CapiEngine({
            onnx_models.save(onnx_models.identity("FP32", ["N"]), tmp_path / "identity.onnx")!r
        }, 1)
    lookup = CapiEngine({onnx_models.save(onnx_models.lookup(), tmp_path / "lookup.onnx")!r}, 1)
    for _ in range(5):
        engine.run({{"x": Tensor(FP32, (1 << 18,), rows)}}, ["y"], Cancellation())
        try:
            lookup.run({{"index": Tensor(INT64, (1,), b"\\7" + bytes(7))}}, ["row"])
        except InferenceError:
            pass

for _ in range(20):
    once()
before = resident()
for _ in range(60):
    once()
print(resident() - before)
"""
        growth = int(run_python(script).splitlines()[-1])
        # 300 outputs of 1 MB each and 120 sessions went by.
        assert growth < 8 << 20


def run_python(script: str, **environ: str) -> str:
    """What a fresh interpreter prints, which ends well and says nothing on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=120, env={**os.environ, **environ},
    )  # fmt: skip
    errors = [line for line in done.stderr.splitlines() if "onnxruntime" not in line]
    assert (done.returncode, errors) == (0, [])
    return done.stdout


PREDICT = f"""
import sys
from inference_runtime.engine.selection import load
from inference_runtime.tensor import FP32, Tensor
engine = load({str(DIGITS / "digits.onnx")!r}, 2)
answer = engine.run({{"pixels": Tensor(FP32, (1, 64), bytes(256))}}, ["probabilities"])
assert answer["probabilities"].shape == (1, 10)
"""


class TestStart:
    def test_a_prediction_loads_no_module_that_it_does_not_need(self) -> None:
        listed = run_python(PREDICT + "print(*sys.modules)").split()
        heavy = {"numpy", "onnxruntime", "google", "typing", "logging", "asyncio", "socket", "ssl"}
        assert heavy.isdisjoint(listed)

    def test_onnxruntime_reports_nothing_and_writes_nothing(self, tmp_path: Path) -> None:
        places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
        script = PREDICT + "import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
        assert run_python(script, **places).strip() == "1"
        assert list(tmp_path.iterdir()) == []


class TestLibrary:
    def test_it_is_the_one_that_python_would_import(self) -> None:
        path = Path(library.find_library())
        assert path.parent == Path(pytest.importorskip("onnxruntime").__file__).parent / "capi"

    def test_the_first_folder_that_has_it_counts(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            capi = tmp_path / name / "onnxruntime" / "capi"
            capi.mkdir(parents=True)
            (capi / "libonnxruntime_providers_shared.so").touch()
            if name == "second":
                (capi / "libonnxruntime.so.1.31.1").touch()
        folders = [str(tmp_path / name) for name in ("absent", "first", "second")]
        assert library.find_library(folders) == str(capi / "libonnxruntime.so.1.31.1")

    def test_nowhere(self, tmp_path: Path) -> None:
        with pytest.raises(NeedsStockEngine, match=r"no entry of sys\.path"):
            library.find_library([str(tmp_path)])

    def test_a_file_that_is_no_library(self, tmp_path: Path) -> None:
        path = tmp_path / "libonnxruntime.so.1.31.1"
        path.write_bytes(b"not a library")
        with pytest.raises(NeedsStockEngine, match="cannot be loaded"):
            library.Library(str(path))

    @pytest.mark.parametrize("version", ["1.26.0", "1.31.1"])
    def test_a_tested_version(self, version: str) -> None:
        library.check_version(version, "lib")

    @pytest.mark.parametrize("version", ["1.25.1", "1.32.0", "2.30.0", "1.99.0+build"])
    def test_an_untested_version(self, version: str) -> None:
        with pytest.raises(NeedsStockEngine, match=f"is onnxruntime {version.split('+')[0]}"):
            library.check_version(version, "lib")

    def test_the_installed_version_is_tested(self) -> None:
        loaded = library.Library(library.find_library())
        assert loaded.version == pytest.importorskip("onnxruntime").__version__
