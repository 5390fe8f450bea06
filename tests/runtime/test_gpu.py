"""Models on a real GPU: skipped where there is none, which is wherever CUDA's provider cannot run.

On a machine with one: ``uv pip install 'inference-runtime[cuda12,http]'`` in an environment of its
own, then ``pytest tests/runtime/test_gpu.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from inference_runtime.engine import selection
from inference_runtime.engine.providers import Providers
from inference_runtime.engine.stock import ort
from inference_runtime.errors import ModelNotLoaded

from tests.contract.corpus import NAMES, Corpus, same
from tests.contract.http_players import http_server
from tests.runtime import onnx_models

CUDA = Providers(("cuda", "cpu"), require_gpu=True)


@pytest.fixture(scope="module", autouse=True)
def _gpu(tmp_path_factory: pytest.TempPathFactory) -> None:
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip(f"no GPU: onnxruntime here has {', '.join(ort.get_available_providers())} only")
    path = onnx_models.save(onnx_models.scaled(), tmp_path_factory.mktemp("gpu") / "model.onnx")
    try:
        selection.load(path, 1, providers=CUDA)
    except ModelNotLoaded as error:
        pytest.skip(f"no GPU: {error}")


@pytest.mark.parametrize("providers", ["cuda,cpu", "tensorrt,cuda,cpu"])
@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_is_answered_as_on_a_cpu(name: str, providers: str, tmp_path: Path) -> None:
    corpus = Corpus(name)
    environ = {**corpus.environ(tmp_path), "INFERENCE_PROVIDERS": providers}
    with http_server(environ) as play:
        for exchange in corpus.exchanges:
            answered = play(exchange.request)
            assert answered is None or same(exchange.reply, answered), exchange.name
