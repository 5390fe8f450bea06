"""The contract corpus on a GPU and under OpenVINO; skipped, with the reason, where there is none.

On a machine with a GPU, in an environment of its own: ``uv pip install
'inference-runtime[cuda12,http]'``, then ``pytest tests/runtime/test_gpu.py``. OpenVINO needs none:
put ``onnxruntime-openvino`` before ``onnxruntime`` on ``PYTHONPATH``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from inference_runtime.engine import selection
from inference_runtime.engine.providers import Providers
from inference_runtime.engine.stock import ort
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.settings import GPU_PROVIDERS

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
