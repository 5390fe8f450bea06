"""Bound runs, as on a GPU, held to those that are not: here they run on the CPU."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_runtime.engine import Cancellation, stock
from inference_runtime.engine.binding import BoundSession
from inference_runtime.engine.failures import run_failure
from inference_runtime.engine.stock import StockEngine
from inference_runtime.errors import DeadlineExceeded, InferenceError, InvalidInput, ModelFailed
from inference_runtime.tensor import BF16, BOOL, DATATYPES, FP32, INT64, Datatype, Tensor
from onnx import helper

from tests.contract.corpus import NAMES, Corpus, same
from tests.contract.players import PLAYERS
from tests.runtime import onnx_models
from tests.runtime.conftest import ReadLog

BINDABLE = [datatype for datatype in DATATYPES.values() if datatype.itemsize]
SHAPES = st.lists(st.integers(0, 4), max_size=4)
MEBIBYTE = 2**20

Load = Callable[[onnx.ModelProto], StockEngine]


@pytest.fixture
def load_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    def load(made: onnx.ModelProto) -> StockEngine:
        with monkeypatch.context() as patched:
            patched.setattr(stock, "runs_on_gpu", lambda session: True)
            return onnx_models.load(made, tmp_path)

    return load


def is_bound(engine: StockEngine) -> bool:
    return isinstance(getattr(engine._run, "__self__", None), BoundSession)


def floats(*shape: int) -> Tensor:
    values = np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)
    return Tensor(FP32, shape, values.data)


def integers(*values: int) -> Tensor:
    return Tensor(INT64, [len(values)], np.array(values, np.int64).data)


def described(outputs: dict[str, Tensor]) -> dict[str, Any]:
    return {
        name: (tensor.datatype, tensor.shape, bytes(tensor.buffer), tensor.labels)
        for name, tensor in outputs.items()
    }


def test_only_a_gpus_runs_are_bound(tmp_path: Path, load_bound: Load) -> None:
    assert not is_bound(onnx_models.load(onnx_models.scaled(), tmp_path))
    assert is_bound(load_bound(onnx_models.scaled()))


# The same answers, to the bit


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_is_answered_alike(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "runs_on_gpu", lambda session: True)
    corpus = Corpus(name)
    with PLAYERS["stock-engine"](corpus.environ(tmp_path)) as play:
        for exchange in corpus.exchanges:
            answered = play(exchange.request)
            assert answered is None or same(exchange.reply, answered), exchange.name


@pytest.mark.parametrize("datatype", BINDABLE, ids=str)
def test_any_bits_of_any_datatype_in_any_shape(datatype: Datatype, load_bound: Load) -> None:
    by_rank = {
        rank: load_bound(onnx_models.identity(datatype.name, [None] * rank)) for rank in range(5)
    }

    @settings(max_examples=40, deadline=None)
    @given(shape=SHAPES, offset=st.integers(0, 3), data=st.data())
    def check(shape: list[int], offset: int, data: st.DataObject) -> None:
        size = prod(shape) * datatype.itemsize
        content = data.draw(st.binary(min_size=size, max_size=size))
        if datatype is BOOL:
            content = bytes(byte & 1 for byte in content)
        # As in a request's body, which is not aligned.
        part = memoryview(bytes(offset) + content)[offset:]
        answer = by_rank[len(shape)].run({"x": Tensor(datatype, shape, part)}, ["y"])
        assert described(answer) == {"y": (datatype, tuple(shape), content, None)}

    check()


def test_computed_outputs_are_those_of_an_unbound_run(tmp_path: Path, load_bound: Load) -> None:
    made = onnx_models.sum_and_product()
    plain, bound = onnx_models.load(made, tmp_path), load_bound(made)
    for names in (["sum", "product"], ["product", "sum"], ["product"], ["sum", "sum"]):
        for rows in (0, 1, 1000):
            inputs = {"b": floats(rows, 2), "a": floats(rows, 2)}
            assert described(bound.run(inputs, names)) == described(plain.run(inputs, names))


def test_an_input_with_a_default_may_be_left_out(load_bound: Load) -> None:
    engine = load_bound(onnx_models.scaled(10.0))
    rows = Tensor(FP32, (1, 2), np.array([1, 2], np.float32).data)
    three = Tensor(FP32, (1,), np.array([3], np.float32).data)
    assert engine.run({"x": rows}, ["y"])["y"].buffer.cast("f").tolist() == [10, 20]
    assert engine.run({"x": rows, "factor": three}, ["y"])["y"].buffer.cast("f").tolist() == [3, 6]


def test_strings_go_out_of_a_bound_run(load_bound: Load) -> None:
    classes = onnx_models.zipmap_classifier()
    del classes.graph.node[1:], classes.graph.output[1:]
    engine = load_bound(classes)
    assert is_bound(engine)
    row = Tensor(FP32, (1, 2), np.array([1, 0], np.float32).data)
    assert bytes(engine.run({"x": row}, ["label"])["label"].buffer) == b"\x03\x00\x00\x00yes"


# Whose memory it is


def test_inputs_are_bound_where_they_lie(load_bound: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = []
    make = stock.ort.OrtValue.ortvalue_from_numpy

    def watched(array: Any) -> Any:
        value = make(array)
        addresses.append(value.data_ptr())
        return value

    monkeypatch.setattr(stock.ort.OrtValue, "ortvalue_from_numpy", watched)
    content = bytes(floats(4, 2).buffer)
    load_bound(onnx_models.scaled()).run({"x": Tensor(FP32, (4, 2), content)}, ["y"])
    assert addresses == [np.frombuffer(content, np.uint8).ctypes.data]


def test_an_output_outlives_its_engine_and_later_runs(load_bound: Load) -> None:
    engine = load_bound(onnx_models.scaled(1.0))
    first = engine.run({"x": floats(50_000, 2)}, ["y"])["y"]
    for _ in range(20):
        engine.run({"x": Tensor(FP32, (50_000, 2), bytes(400_000))}, ["y"])
    del engine
    gc.collect()
    assert bytes(first.buffer) == bytes(floats(50_000, 2).buffer)


def test_an_input_that_is_an_output_too_is_not_the_callers_memory(load_bound: Load) -> None:
    made = onnx_models.scaled()
    made.graph.output.append(made.graph.input[0])
    content = bytearray(floats(4, 2).buffer)
    before = bytes(content)
    answer = load_bound(made).run({"x": Tensor(FP32, (4, 2), content)}, ["x", "y"])
    content[:] = bytes(len(content))
    assert bytes(answer["x"].buffer) == before
    content.extend(b"more")  # a buffer that is still pointed at refuses to grow


def test_nothing_of_a_run_is_kept(load_bound: Load) -> None:
    engine = load_bound(onnx_models.scaled())
    rows = floats(MEBIBYTE // 8, 2)

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def grown_over(runs: int) -> int:
        before = resident()
        for _ in range(runs):
            engine.run({"x": rows}, ["y"])
            with pytest.raises(InvalidInput):
                engine.run({"x": Tensor(FP32, (len(rows.buffer) // 4,), rows.buffer)}, ["y"])
        return resident() - before

    grown_over(10)
    assert grown_over(200) < 20 * MEBIBYTE


# Failures


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
def test_a_run_fails_with_the_text_of_an_unbound_one(
    made: onnx.ModelProto,
    inputs: dict[str, Tensor],
    expected: type[InferenceError],
    tmp_path: Path,
    load_bound: Load,
) -> None:
    texts = set()
    for engine in (onnx_models.load(made, tmp_path), load_bound(made)):
        with pytest.raises(expected) as raised:
            engine.run(inputs, list(engine.signature.outputs))
        texts.add(str(raised.value))
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "Non-zero status code returned while running Conv node. Name:'Conv_1' Status Message:"
            " CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR ; GPU=0 ; hostname=host-7 ; line=172",
            "the model failed on the GPU",
        ),
        ("TensorRT EP execution context enqueue failed.", "the model failed on the GPU"),
        (
            "CUDA failure 2: out of memory ; GPU=0 ; hostname=host-7 ; expr=cudaMalloc(&p, size);",
            "the model ran out of memory",
        ),
        (
            "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=host-7",
            "the model ran out of memory",
        ),
    ],
    ids=["cudnn", "tensorrt", "cuda's memory", "cublas' memory"],
)
@pytest.mark.parametrize("name", ["Fail", "RuntimeException"])
def test_a_gpus_own_failure_is_ours_and_tells_no_caller_of_this_machine(
    name: str, text: str, told: str
) -> None:
    failure = run_failure(name, text, None)
    assert isinstance(failure, ModelFailed)
    assert str(failure) == told


def test_a_run_that_was_cancelled_before_does_not_begin(load_bound: Load) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    engine = load_bound(onnx_models.scaled())
    with pytest.raises(DeadlineExceeded):
        engine.run({"x": floats(1, 2)}, ["y"], cancellation)
    assert engine.run({"x": floats(1, 2)}, ["y"])


def test_a_run_ends_when_it_is_cancelled(load_bound: Load) -> None:
    engine = load_bound(onnx_models.counter())
    cancellation = Cancellation()
    Timer(0.2, cancellation.cancel).start()
    with pytest.raises(DeadlineExceeded):
        engine.run({"times": integers(1 << 50)}, ["counted"], cancellation)


# Threads


def test_runs_from_several_threads_do_not_mix(load_bound: Load) -> None:
    engine = load_bound(onnx_models.scaled(2.0))

    def doubled(n: int) -> list[float]:
        # As large as it takes for runs to overlap, and each of its own size.
        rows = np.full((n + 1, 2), n, np.float32)
        answer = engine.run({"x": Tensor(FP32, rows.shape, rows.data)}, ["y"])["y"]
        assert answer.shape == rows.shape
        return sorted(set(answer.buffer.cast("f")))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(doubled, range(3000))) == [[2.0 * n] for n in range(3000)]


# What cannot be bound


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (onnx_models.shout(), "onnxruntime binds no strings, as its input 'text' has them"),
        (
            onnx_models.zipmap_classifier(),
            "only tensors can be read when bound, and its output 'probabilities' is none",
        ),
    ],
    ids=["strings", "zipmap"],
)
def test_what_cannot_be_bound_runs_unbound_and_the_log_says_why(
    made: onnx.ModelProto, reason: str, load_bound: Load, read_log: ReadLog
) -> None:
    engine = load_bound(made)
    (line,) = read_log()
    assert (line["message"], line["reason"]) == ("inputs and outputs are not bound", reason)
    assert not is_bound(engine)


def test_bfloat16_is_bound_on_a_cpu_too(tmp_path: Path) -> None:
    engine = onnx_models.load(onnx_models.identity("BF16", ["N"]), tmp_path)
    assert is_bound(engine)
    with pytest.raises(InvalidInput, match=r"refuses this input: .*Got: 2 Expected: 1"):
        engine.run({"x": Tensor(BF16, (1, 2), bytes(4))}, ["y"])


def test_bfloat16_beside_strings_cannot_be_served(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", [name], [name + "_out"]) for name in ("x", "text")]
    values = {"x": "BF16", "text": "BYTES"}
    made = onnx_models.model(
        nodes,
        [onnx_models.tensor(name, datatype, ["N"]) for name, datatype in values.items()],
        [onnx_models.tensor(name + "_out", datatype, ["N"]) for name, datatype in values.items()],
    )
    with pytest.raises(InferenceError, match="it has bfloat16, and onnxruntime binds no strings"):
        onnx_models.load(made, tmp_path)
