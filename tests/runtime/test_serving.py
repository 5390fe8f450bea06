from __future__ import annotations

import gc
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from inference_runtime import serving
from inference_runtime.errors import InvalidSettings, ModelNotLoaded
from inference_runtime.messages import Request
from inference_runtime.settings import Settings

from tests.runtime import onnx_models as models
from tests.runtime.conftest import ReadLog, Start

PATH = str(Path(serving.__file__).parents[1])

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


@pytest.mark.parametrize(
    ("environ", "name"),
    [({}, "level"), ({"K_SERVICE": "sums"}, "severity"), ({"CLOUD_RUN_JOB": "sums"}, "severity")],
)
def test_the_level_has_the_name_that_the_platform_reads(environ: dict[str, str], name: str) -> None:
    code = "from inference_runtime.telemetry import log; log('ERROR', 'no')"
    line = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, check=True
    ).stdout
    assert list(json.loads(line).items())[:2] == [(name, "ERROR"), ("message", "no")]


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


@pytest.mark.parametrize("uri", ["", "/nowhere.onnx"], ids=["a start", "a start that fails"])
def test_garbage_is_collected_again_after(uri: str, tmp_path: Path) -> None:
    assert gc.isenabled()
    path = uri or models.save(models.scaled(), tmp_path / "model.onnx")
    with suppress(ModelNotLoaded):
        serving.start(Settings.read({"MODEL_URI": path}))
    assert gc.isenabled()
    gc.disable()
    try:
        with suppress(ModelNotLoaded):
            serving.start(Settings.read({"MODEL_URI": path}))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_library_s_start_waits_for_no_import_of_threads_or_models() -> None:
    code = """
import sys
from inference_runtime import serving

def begin(function, arguments):
    assert function is serving.selection.preload
    print({*sys.modules} & {"threading", "functools", "contextlib", "inference_runtime.loading"})
    sys.exit()

serving.start_new_thread = begin
serving.start()
"""
    started = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
        env={"MODEL_URI": "/nowhere.onnx", "PYTHONPATH": PATH},
    )  # fmt: skip
    assert started.stdout.splitlines() == ["set()"]


def test_a_start_that_fails_lets_the_library_s_own_start_end() -> None:
    """In the middle of it, the end of the process would find a broken heap."""
    code = """
import time
from inference_runtime import serving
from inference_runtime.engine import selection

def preload(_engine):
    time.sleep(0.3)
    print("initialised", flush=True)

selection.preload = preload
serving.start()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], env={"MODEL_URI": "nowhere/"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "initialised"
