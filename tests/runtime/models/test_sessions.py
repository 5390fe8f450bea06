"""Several models in one process: which are in memory, and what a request for another does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from inference_runtime.dataplane import DataPlane
from inference_runtime.errors import ModelNotLoaded, NotReady
from inference_runtime.repository import READY, RETRY_SECONDS, UNAVAILABLE, Entry
from inference_runtime.service import InferenceService
from inference_runtime.serving import start
from inference_runtime.settings import Settings

from tests.runtime.models.samples import padded
from tests.runtime.planes import answer, error, send

SIZE = 10_000
X = {"name": "a", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
Y = {"name": "b", "datatype": "FP32", "shape": [1, 2], "data": [3, 4]}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The models a, b and c, of ``SIZE`` bytes and a little; a in the versions 1 and 2."""
    for place in ("a/1", "a/2", "b/1", "c/1"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "model.onnx").write_bytes(padded(SIZE))
    return tmp_path


def serve(repository: Path, models: float | None = None, **environ: str) -> DataPlane:
    """A started data plane with room for so many models."""
    if models is not None:
        environ["INFERENCE_MEMORY_CACHE_BYTES"] = str(int(models * len(padded(SIZE))))
    return start(Settings.read({"MODEL_URI": f"{repository}/", **environ}))


def in_memory(plane: DataPlane) -> list[str]:
    entries = plane.repository.entries
    return [f"{entry.name}/{entry.version}" for entry in entries if entry.service is not None]


def infer(plane: DataPlane, model: str) -> int:
    name, _, version = model.partition("/")
    path = f"/v2/models/{name}/versions/{version}/infer" if version else f"/v2/models/{name}/infer"
    return send(plane, "POST", path, {"inputs": [X, Y]}).status


def test_the_latest_version_of_each_model_is_loaded_at_start(repository: Path) -> None:
    plane = serve(repository)
    assert in_memory(plane) == ["a/2", "b/1", "c/1"]
    assert plane.repository.default.version == "2"


def test_any_version_answers_when_asked(repository: Path) -> None:
    plane = serve(repository)
    assert infer(plane, "a/1") == 200
    assert in_memory(plane) == ["a/1", "a/2", "b/1", "c/1"]
    index = answer(send(plane, "POST", "/v2/repository/index"))
    assert {model["state"] for model in index} == {READY}


def test_the_simple_form_names_a_model_in_its_path(repository: Path) -> None:
    plane = serve(repository, MODEL_NAME="b")
    body = {"inputs": {"a": [[1, 2]], "b": [[3, 4]]}}
    named = answer(send(plane, "POST", "/models/a/predict", body))
    default = answer(send(plane, "POST", "/predict", body))
    assert (named["model_version"], default["model_version"]) == ("2", "1")
    unknown = send(plane, "POST", "/models/d/predict", body)
    assert (unknown.status, answer(unknown)["error"]["code"]) == (404, "NOT_FOUND")


def test_where_memory_is_bounded_only_the_default_is_loaded_at_start(repository: Path) -> None:
    plane = serve(repository, models=2, MODEL_NAME="b")
    assert in_memory(plane) == ["b/1"]
    assert plane.repository.ready


def test_the_longest_unused_makes_room(repository: Path) -> None:
    plane = serve(repository, models=2)
    assert infer(plane, "b") == 200
    assert infer(plane, "a") == 200
    assert in_memory(plane) == ["a/2", "b/1"]
    assert infer(plane, "c") == 200
    assert in_memory(plane) == ["a/2", "c/1"]
    assert infer(plane, "b") == 200
    assert in_memory(plane) == ["b/1", "c/1"]


def test_a_run_in_progress_keeps_its_model(repository: Path) -> None:
    plane = serve(repository, models=1)
    service = plane.repository.find("a").ready_service()
    assert infer(plane, "b") == 200
    assert in_memory(plane) == ["b/1"]
    service.warm_up()


def test_many_requests_at_once_stay_within_the_limit(repository: Path) -> None:
    plane = serve(repository, models=2)
    names = ["a/1", "a/2", "b/1", "c/1"] * 10
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda name: infer(plane, name), names))
    assert set(statuses) == {200}
    assert len(in_memory(plane)) <= 2


def test_a_model_larger_than_the_limit_is_refused_and_evicts_nobody(repository: Path) -> None:
    plane = serve(repository, models=2)
    infer(plane, "b")
    (repository / "c" / "1" / "model.onnx").write_bytes(padded(3 * SIZE))
    reply = send(plane, "POST", "/v2/models/c/infer", {"inputs": [X, Y]})
    assert "INFERENCE_MEMORY_CACHE_BYTES is" in error(reply, 500)
    assert in_memory(plane) == ["a/2", "b/1"]
    assert plane.repository.find("c").state == UNAVAILABLE
    assert infer(plane, "c") == 503


def test_a_default_model_larger_than_the_limit_does_not_start(repository: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="INFERENCE_MEMORY_CACHE_BYTES"):
        serve(repository, models=0.5)


def test_a_load_that_failed_is_tried_again_after_a_while(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = serve(repository)
    file = repository / "a" / "1" / "model.onnx"
    content = file.read_bytes()
    file.unlink()
    assert infer(plane, "a/1") == 500
    file.write_bytes(content)
    assert infer(plane, "a/1") == 503, "not at every request"
    now = time.monotonic() + RETRY_SECONDS
    monkeypatch.setattr("inference_runtime.repository.monotonic", lambda: now)
    assert infer(plane, "a/1") == 200
    assert plane.repository.ready

    entry = plane.repository.find("a", "1")
    entry.unload()
    assert infer(plane, "a/1") == 503, "what was unloaded stays so"


def test_whatever_a_load_raises_the_model_is_unavailable_and_says_why() -> None:
    def load(_entry: Entry) -> InferenceService:
        raise PermissionError("not yours")

    entry = Entry("m", "1", load)
    with pytest.raises(PermissionError):
        entry.load()
    assert (entry.state, entry.reason) == (UNAVAILABLE, "not yours")


def test_an_unloaded_model_stays_unloaded(repository: Path) -> None:
    plane = serve(repository, models=2)
    entry = plane.repository.find("a")
    entry.unload()
    with pytest.raises(NotReady, match="is not ready: unloaded"):
        entry.ready_service()
    assert entry.size == 0
