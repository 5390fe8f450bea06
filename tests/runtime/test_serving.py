from __future__ import annotations

import sys
from pathlib import Path

import pytest
from inference_runtime import serving
from inference_runtime.errors import InvalidSettings, ModelNotLoaded
from inference_runtime.messages import Request
from inference_runtime.serving import find_model
from inference_runtime.settings import Settings

from tests.runtime import onnx_models as models
from tests.runtime.conftest import ReadLog, Start

# Where the model is


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    file = tmp_path / "models" / "digits" / "model.onnx"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


def test_an_absolute_path_is_itself(model_file: Path) -> None:
    assert find_model(str(model_file)) == str(model_file)
    assert find_model(f"file://{model_file}") == str(model_file)


def test_a_relative_path_is_looked_for_in_the_working_directory_first(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = tmp_path / "layer" / "models" / "digits" / "model.onnx"
    layer.parent.mkdir(parents=True)
    layer.touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nowhere"), str(tmp_path / "layer")])
    monkeypatch.chdir(tmp_path)
    assert find_model("models/digits/model.onnx") == str(model_file)
    model_file.unlink()
    assert find_model("models/digits/model.onnx") == str(layer)


def test_a_missing_file_names_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/opt/python"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotLoaded) as raised:
        find_model("models/a/model.onnx")
    assert str(raised.value) == (
        f"MODEL_URI is 'models/a/model.onnx', but there is no file {tmp_path}/models/a/model.onnx"
        " or /opt/python/models/a/model.onnx"
    )


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="there is no file"):
        find_model(str(tmp_path))


# The start


def test_the_start_tells_its_phases(start: Start, read_log: ReadLog) -> None:
    start(models.sum_and_product(), MODEL_NAME="sums", MODEL_VERSION="3", INFERENCE_THREADS="2")
    (line,) = read_log()
    assert line["level"] == "INFO"
    assert line["message"] == "ready"
    assert (line["model"], line["model_version"], line["threads"]) == ("sums", "3", 2)
    assert line["imports_ms"] > 0
    assert line["load_ms"] > 0
    assert line["warm_up_ms"] > 0


def test_the_threads_follow_lambdas_memory(start: Start, read_log: ReadLog) -> None:
    start(models.sum_and_product(), AWS_LAMBDA_FUNCTION_MEMORY_SIZE="5307")
    assert read_log()[0]["threads"] == 3


def test_a_model_that_refuses_zeros_still_starts(start: Start, read_log: ReadLog) -> None:
    plane = start(models.square())
    warning, ready = read_log()
    assert (warning["level"], warning["message"]) == ("WARNING", "warm-up skipped")
    assert ready["message"] == "ready"
    reply = plane.handle(Request("POST", "/predict", {}, b'{"features": [1, 2, 3, 4]}', "id"))
    assert reply.status == 200


def test_a_bad_setting_ends_the_start_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, read_log: ReadLog
) -> None:
    monkeypatch.setenv("INFERENCE_THREADS", "many")
    monkeypatch.delenv("MODEL_URI", raising=False)
    with pytest.raises(InvalidSettings):
        serving.start()
    (line,) = read_log()
    assert (line["level"], line["message"]) == ("ERROR", "start failed")
    assert line["error"] == "INVALID_SETTINGS"
    assert "INFERENCE_THREADS is 'many'" in line["detail"]
    assert "MODEL_URI is not set" in line["detail"]
    assert "Traceback" in line["traceback"]


def test_a_missing_model_ends_the_start_and_is_logged(read_log: ReadLog) -> None:
    with pytest.raises(ModelNotLoaded):
        serving.start(Settings.read({"MODEL_URI": "/nowhere.onnx"}))
    assert read_log()[0]["error"] == "MODEL_NOT_LOADED"
