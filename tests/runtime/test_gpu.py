"""The contract corpus on a GPU and under OpenVINO; skipped, with the reason, where there is none.

On a machine with a GPU, in an environment of its own: ``uv pip install
'inference-runtime[cuda12,http]'``, then ``pytest tests/runtime/test_gpu.py``. OpenVINO needs none:
put ``onnxruntime-openvino`` before ``onnxruntime`` on ``PYTHONPATH``.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from inference_runtime.engine import selection, stock
from inference_runtime.engine.providers import Providers
from inference_runtime.engine.stock import StockEngine, ort
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.settings import GPU_PROVIDERS
from inference_runtime.tensor import FP32, Tensor

from tests.contract.corpus import NAMES, Corpus, same
from tests.contract.http_players import http_server
from tests.runtime import onnx_models

# Other kernels than the CPU's do not look whether an index is within bounds: OpenVINO's do not.
UNCHECKED = "an index that the model refuses"


@pytest.fixture(scope="module", params=["cuda", "tensorrt", "openvino"])
def provider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that can run a model of one multiplication, alone."""
    name: str = request.param
    path = onnx_models.save(onnx_models.scaled(), tmp_path_factory.mktemp("model") / "model.onnx")
    try:
        selection.load(path, 1, providers=Providers((name,), require_gpu=name in GPU_PROVIDERS))
    except ModelNotLoaded as error:
        pytest.skip(f"{name} cannot run here, where onnxruntime is {ort.__version__}: {error}")
    return name


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_is_answered_as_on_a_cpu(provider: str, name: str, tmp_path: Path) -> None:
    corpus = Corpus(name)
    environ = {**corpus.environ(tmp_path), "INFERENCE_PROVIDERS": f"{provider},cpu"}
    with http_server(environ) as play:
        for exchange in corpus.exchanges:
            answered = play(exchange.request)
            alike = answered is None or same(exchange.reply, answered)
            assert alike or exchange.name == UNCHECKED, exchange.name


@pytest.fixture
def load(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[bool], StockEngine]:
    """Loads a model that doubles, with or without bound runs, whichever provider it is."""
    path = onnx_models.save(onnx_models.scaled(2.0), tmp_path / "model.onnx")

    def _load(bound: bool) -> StockEngine:
        monkeypatch.setattr(stock, "runs_on_gpu", lambda session: bound)
        return StockEngine(path, 1, providers=Providers((provider, "cpu")))

    return _load


def doubled(engine: StockEngine, rows: np.ndarray[Any, Any]) -> bytes:
    return bytes(engine.run({"x": Tensor(FP32, rows.shape, rows.data)}, ["y"])["y"].buffer)


@pytest.mark.parametrize("count", [32, 301_056])
def test_bound_runs_answer_as_unbound_ones(
    provider: str,
    load: Callable[[bool], StockEngine],
    count: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = np.random.default_rng(0).standard_normal((count, 2), dtype=np.float32)
    engines = {"bound": load(True), "unbound": load(False)}
    assert {doubled(engine, rows) for engine in engines.values()} == {(rows * 2).tobytes()}
    with capsys.disabled():
        for name, engine in engines.items():
            times = [_microseconds(engine, rows) for _ in range(200)]
            print(f"\n{provider}, {rows.size} values, {name}: {median(times):.1f} µs", end="")


def test_bound_runs_from_several_threads_do_not_mix(load: Callable[[bool], StockEngine]) -> None:
    engine = load(True)
    inputs = [np.full((n + 1, 2), n, np.float32) for n in range(1000)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda rows: doubled(engine, rows), inputs))
    assert answers == [(rows * 2).tobytes() for rows in inputs]


def _microseconds(engine: StockEngine, rows: np.ndarray[Any, Any]) -> float:
    start = perf_counter()
    doubled(engine, rows)
    return (perf_counter() - start) * 1e6
