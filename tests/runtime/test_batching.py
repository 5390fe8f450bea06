from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import onnx
import pytest
from inference_runtime import fusion
from inference_runtime.engine import Cancellation, batching
from inference_runtime.engine.batching import BatchingEngine, is_exact
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.engine.layers import add_layers
from inference_runtime.errors import DeadlineExceeded, InvalidInput
from inference_runtime.settings import Settings
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.tensor import FP32, Tensor
from onnxruntime.quantization import quantize_dynamic

from tests.runtime import onnx_models
from tests.runtime.conftest import ReadLog
from tests.runtime.optimize import models

POISON = -1.0


class Doubling:
    """Doubles its rows, and notes how many came in each run; each waits for a gate of its own."""

    def __init__(self) -> None:
        specs = [TensorSpec(name, FP32, ["N", None]) for name in ("x", "y")]
        self.signature = Signature(specs[:1], specs[1:])
        self.runs: list[int] = []
        self.gates = [Event()]
        self.entered = Event()

    @property
    def gate(self) -> Event:
        return self.gates[0]

    def run(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        cancellation: Cancellation | None = None,
    ) -> dict[str, Tensor]:
        gate = self.gates[min(len(self.runs), len(self.gates) - 1)]
        if cancellation is not None:
            cancellation.attach(gate.set)
        self.runs.append(inputs["x"].shape[0])
        self.entered.set()
        assert gate.wait(10)
        if cancellation is not None and cancellation.reason is not None:
            raise cancellation.reason
        values = np.frombuffer(inputs["x"].buffer, "<f4").reshape(inputs["x"].shape)
        if POISON in values:
            raise InvalidInput("poison")
        return {name: Tensor(FP32, values.shape, (values * 2).tobytes()) for name in outputs}


class Client:
    """Sends calls to a batching engine, each on a thread of its own."""

    def __init__(self, engine: Doubling, max_rows: int = 32) -> None:
        self.engine = BatchingEngine(engine, max_rows)
        self._inner = engine
        self._pool = ThreadPoolExecutor(64)

    def send(
        self, *rows: Sequence[float], cancellation: Cancellation | None = None
    ) -> Future[np.ndarray]:
        """One call; back as soon as it runs or waits."""
        expected = len(self.engine._waiting) + 1
        idle = not self.engine._running
        future = self._pool.submit(self._call, np.array(rows, "<f4"), cancellation)
        if idle:
            assert self._inner.entered.wait(10)
        else:
            while len(self.engine._waiting) < expected and not future.done():
                pass
        return future

    def _call(self, rows: np.ndarray, cancellation: Cancellation | None) -> np.ndarray:
        inputs = {"x": Tensor(FP32, rows.shape, rows.tobytes())}
        output = self.engine.run(inputs, ["y"], cancellation)["y"]
        return np.frombuffer(output.buffer, "<f4").reshape(output.shape)


@pytest.fixture
def inner() -> Doubling:
    return Doubling()


def test_an_idle_model_runs_at_once_and_alone(inner: Doubling) -> None:
    inner.gate.set()
    client = Client(inner)
    for value in (1.0, 2.0, 3.0):
        assert client.send([value]).result(10).tolist() == [[2 * value]]
    assert inner.runs == [1, 1, 1]


def test_calls_that_come_while_it_runs_share_the_next_run(inner: Doubling) -> None:
    client = Client(inner)
    futures = [client.send([float(value)]) for value in range(6)]
    inner.gate.set()
    assert [future.result(10).tolist() for future in futures] == [[[2.0 * v]] for v in range(6)]
    assert inner.runs == [1, 5]


def test_a_shared_run_has_a_bounded_number_of_rows(inner: Doubling) -> None:
    client = Client(inner, max_rows=4)
    first = client.send([0.0])
    oversize = client.send(*[[1.0]] * 9)
    small = [client.send([2.0], [3.0]) for _ in range(3)]
    inner.gate.set()
    assert first.result(10).shape == (1, 1)
    assert oversize.result(10).shape == (9, 1)
    assert [future.result(10).tolist() for future in small] == [[[4.0], [6.0]]] * 3
    assert inner.runs == [1, 9, 4, 2]


def test_calls_of_other_columns_run_apart(inner: Doubling) -> None:
    client = Client(inner)
    futures = [client.send([0.0]), client.send([1.0]), client.send([2.0, 2.5]), client.send([3.0])]
    inner.gate.set()
    assert [future.result(10).tolist() for future in futures] == [
        [[0.0]], [[2.0]], [[4.0, 5.0]], [[6.0]],
    ]  # fmt: skip
    assert inner.runs == [1, 2, 1]


def test_only_the_call_at_fault_gets_the_error(inner: Doubling) -> None:
    client = Client(inner)
    futures = [client.send([value]) for value in (0.0, 1.0, POISON, 2.0)]
    inner.gate.set()
    assert [futures[i].result(10).tolist() for i in (0, 1, 3)] == [[[0.0]], [[2.0]], [[4.0]]]
    with pytest.raises(InvalidInput, match="poison"):
        futures[2].result(10)


def test_a_call_that_is_cancelled_while_it_waits_leaves_the_queue(inner: Doubling) -> None:
    client, cancellation = Client(inner), Cancellation()
    first = client.send([0.0])
    second = client.send([1.0], cancellation=cancellation)
    cancellation.cancel()
    with pytest.raises(DeadlineExceeded):
        second.result(10)
    inner.gate.set()
    first.result(10)
    assert inner.runs == [1]


def test_a_shared_run_ends_when_all_who_share_it_are_cancelled(inner: Doubling) -> None:
    inner.gates.append(Event())  # of the shared run: opened by nothing but its end
    client, cancellations = Client(inner), [Cancellation(), Cancellation()]
    first = client.send([0.0])
    shared = [client.send([1.0], cancellation=cancellation) for cancellation in cancellations]
    inner.entered.clear()
    inner.gate.set()
    first.result(10)
    assert inner.entered.wait(10)
    cancellations[0].cancel()
    assert not inner.gates[1].is_set()
    cancellations[1].cancel()
    for future in shared:
        with pytest.raises(DeadlineExceeded):
            future.result(10)


def test_one_cancelled_call_does_not_end_the_run_of_others(inner: Doubling) -> None:
    inner.gates.append(Event())
    client, cancellation = Client(inner), Cancellation()
    first = client.send([0.0])
    cancelled = client.send([1.0], cancellation=cancellation)
    other = client.send([2.0])
    inner.entered.clear()
    inner.gate.set()
    first.result(10)
    assert inner.entered.wait(10)
    cancellation.cancel()
    inner.gates[1].set()
    assert other.result(10).tolist() == [[4.0]]
    with pytest.raises(DeadlineExceeded):
        cancelled.result(10)


def test_many_threads_each_get_their_own_rows(inner: Doubling) -> None:
    inner.gate.set()
    engine = BatchingEngine(inner, max_rows=8)

    def call(value: int) -> bool:
        rows = np.full((value % 3 + 1, 1), value, "<f4")
        output = engine.run({"x": Tensor(FP32, rows.shape, rows.tobytes())}, ["y"])["y"]
        return np.frombuffer(output.buffer, "<f4").tolist() == [2.0 * value] * len(rows)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(call, range(2000)))
    assert engine._running == 0
    assert not engine._waiting
    assert sum(inner.runs) == sum(value % 3 + 1 for value in range(2000))


def test_a_model_that_treats_rows_apart_is_exact(tmp_path: Path) -> None:
    assert is_exact(onnx_models.load(onnx_models.sum_and_product(), tmp_path))


def sums_so_far() -> onnx.ModelProto:
    """Each row is the sum of itself and those before it."""
    node = onnx_models.helper.make_node("CumSum", ["x", "axis"], ["y"])
    axis = onnx_models.helper.make_tensor("axis", onnx_models.TensorProto.INT32, [], [0])
    specs = [onnx_models.tensor(name, "FP32", ["N", 2]) for name in ("x", "y")]
    return onnx_models.model([node], specs[:1], specs[1:], [axis])


def test_a_model_that_mixes_rows_is_not(tmp_path: Path) -> None:
    assert not is_exact(onnx_models.load(onnx_models.total(), tmp_path))
    assert not is_exact(onnx_models.load(sums_so_far(), tmp_path))


@pytest.mark.parametrize("make", [models.dense, models.convolutions, models.transformer])
def test_what_the_probe_calls_exact_has_the_same_bits_in_runs_of_any_size(
    make: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    engine = CapiEngine(onnx_models.save(make(), tmp_path / "m.onnx"), 2)
    assert is_exact(engine)
    generator, outputs = random.Random(1), list(engine.signature.outputs)
    for counts in ((1, 1), (5, 11, 16), (1,) * 32, (3, 29)):
        specs = engine.signature.inputs.values()
        calls = [{s.name: batching._sample(s, rows, generator) for s in specs} for rows in counts]
        together = fusion.split(engine.run(fusion.fuse(calls), outputs), counts)
        for call, part in zip(calls, together, strict=True):
            alone = engine.run(call, outputs)
            for name in outputs:
                assert bytes(part[name].buffer) == bytes(alone[name].buffer)


def test_a_model_that_scales_by_the_largest_value_of_all_rows_is_not(tmp_path: Path) -> None:
    path, quantized = tmp_path / "m.onnx", tmp_path / "q.onnx"
    onnx.save(models.dense(), path)
    quantize_dynamic(path, quantized)
    assert not is_exact(CapiEngine(str(quantized), 1))


@pytest.mark.parametrize(
    ("setting", "made", "batches", "said"),
    [
        ("exact", models.dense(), True, None),
        ("exact", sums_so_far(), False, "rows run together differ from rows run alone"),
        ("on", sums_so_far(), True, None),
        ("on", onnx_models.square(), False, "the model does not take any number of rows"),
    ],
)
def test_the_setting_decides_together_with_the_probe(
    setting: str, made: onnx.ModelProto, batches: bool, said: str | None, tmp_path: Path,
    read_log: ReadLog,
) -> None:  # fmt: skip
    engine = onnx_models.load(made, tmp_path)
    layered = add_layers(engine, Settings.read({"MODEL_URI": "m", "INFERENCE_BATCHING": setting}))
    assert isinstance(layered, BatchingEngine) is batches
    assert (layered is engine) is not batches
    assert [line["detail"] for line in read_log()] == ([said] if said else [])
