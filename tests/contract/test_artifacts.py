"""What a zip holds answers every recorded request, with nothing else on the interpreter's path but
what Lambda's managed Python has."""

from __future__ import annotations

import json
import time
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import onnx
import pytest
from cdk_inference import InferenceModel
from cdk_inference.artifact import code_archive, dependencies_archive, model_archive
from cdk_inference.contract import model_uri
from cdk_inference.packages import PackageTarget
from inference_runtime.optimize.candidates.onnxruntime_tools import to_ort_format

from bench.models import perceptron
from bench.requests import lambda_event
from tests.contract.corpus import NAMES, REQUEST_ID, Corpus, same
from tests.contract.players import from_answer, http_api, to_event
from tests.contract.runtime_api import AWSLAMBDARIC, lambda_client
from tests.runtime.manifests import write

HERE = PackageTarget.host()
# Without the virtual environment.
ALONE = ("-S",)
MANAGED = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
# Of maps, so it needs onnxruntime's Python package.
STOCK_ONLY = "zipmap_classifier"


@pytest.fixture(scope="module", params=["stock", "lite"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function's code and its layer of dependencies, as Lambda unpacks them."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    lite = request.param == "lite"
    for part, archive in (
        ("task", code_archive(HERE.python_version)),
        ("opt", dependencies_archive(HERE, lite=lite)),
    ):
        with ZipFile(archive.path) as content:
            content.extractall(folder / part)
    (folder / "managed").mkdir()
    for name in MANAGED:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        found = Path(spec.origin)
        found = found.parent if found.name == "__init__.py" else found
        (folder / "managed" / found.name).symlink_to(found)
    return folder


def path_of(artifact: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": ":".join(str(artifact / part) for part in ("task", "opt/python", "managed"))
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_artifact_alone_answers_as_recorded(name: str, artifact: Path, tmp_path: Path) -> None:
    corpus = Corpus(name)
    environ = {**corpus.environ(tmp_path), **path_of(artifact)}
    differences = {}
    with lambda_client(environ, (*ALONE, *AWSLAMBDARIC)) as api:
        if name == STOCK_ONLY and artifact.name.startswith("lite"):
            refused = api.outcome()
            assert refused.kind == "init error"
            assert "onnxruntime and numpy are not installed" in refused.payload["errorMessage"]
            return
        for exchange in corpus.exchanges:
            outcome = api.invoke(to_event(http_api, exchange.request), REQUEST_ID)
            assert outcome.kind == "response"
            answered = from_answer(outcome.payload)
            if not same(exchange.reply, answered):
                differences[exchange.name] = {"recorded": exchange.reply, "answered": answered}
    assert differences == {}


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """The folder that `optimize` writes for a model whose packed weights answer faster."""
    folder = tmp_path / "compiled"
    folder.mkdir()
    onnx.save(perceptron(), folder / "model.onnx")
    to_ort_format(str(folder / "model.onnx"), str(folder / "optimized.ort"))
    load = {"optimize_graph": False, "prepack": True, "unpacked_start": True}
    write(folder, "optimized.ort", load=load)
    return folder


def test_a_packaged_model_is_mapped_as_it_was_compiled_and_packed_after_the_first_answer(
    artifact: Path, compiled: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = InferenceModel.from_file(compiled / "model.onnx", name="perceptron")
    with ZipFile(model_archive(model).path) as content:
        content.extractall(artifact / "opt")
    environ = {"MODEL_URI": model_uri("perceptron"), **path_of(artifact)}
    event = lambda_event(json.dumps({"features": [0.5] * 256}).encode())
    log = ""
    with lambda_client(environ, (*ALONE, *AWSLAMBDARIC)) as api:
        first, *_ = (from_answer(api.invoke(event, REQUEST_ID).payload) for _ in range(2))
        end = time.monotonic() + 20
        while "weights packed" not in log:
            log += capfd.readouterr().out
            assert time.monotonic() < end, log
            time.sleep(0.02)
        later = from_answer(api.invoke(event, REQUEST_ID).payload)
    assert first.status == later.status == 200
    assert later.body["predictions"] == pytest.approx(first.body["predictions"], rel=1e-5)
    assert "the original model serves" not in log
    assert "warm_up_ms" not in log
