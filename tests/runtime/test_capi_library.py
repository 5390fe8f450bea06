"""The C library: found, checked, used by its numbers, and given back whatever it made."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from inference_runtime.engine import Cancellation
from inference_runtime.engine.capi import NeedsStockEngine, library
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.engine.options import LoadOptions
from inference_runtime.errors import DeadlineExceeded, InvalidInput, ModelNotLoaded
from inference_runtime.optimize import weight_places
from inference_runtime.optimize.candidates.onnxruntime_tools import to_ort_format
from inference_runtime.tensor import BYTES, FP32, Tensor, pack_elements
from onnx import helper

from bench.models import perceptron
from tests.runtime import onnx_models


def floats(*shape: int) -> Tensor:
    return Tensor(FP32, shape, np.zeros(shape, np.float32).data)


def strings(rows: int, *elements: bytes) -> Tensor:
    return Tensor(BYTES, (rows, len(elements) // rows), pack_elements(elements))


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
    monkeypatch.setattr(library, "_loaded", None)
    return counts


def use_everything(tmp_path: Path) -> None:
    made = onnx_models.scaled()
    helper.set_model_props(made, {"class_labels": '["no", "yes"]'})
    path = onnx_models.save(made, tmp_path / "model.onnx")
    to_ort_format(path, str(tmp_path / "model.ort"))
    CapiEngine(str(tmp_path / "model.ort"), 1, LoadOptions(arena=False))
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
    mapped = tmp_path / "mapped.onnx"
    onnx.save(perceptron(), mapped, save_as_external_data=True, location="mapped.data")
    weights = weight_places.find(str(mapped))
    CapiEngine(str(mapped), 1, LoadOptions(optimize_graph=False, weights=weights))
    speaker = CapiEngine(onnx_models.save(onnx_models.shout(), tmp_path / "shout.onnx"), 1)
    speaker.run({"text": strings(1, b"a", b"")}, ["shouted"])
    with pytest.raises(InvalidInput):
        speaker.run({"text": strings(3, b"a", b"b", b"c")}, ["shouted"])
    refused = onnx_models.save(onnx_models.sequence_of_tensors(), tmp_path / "refused.onnx")
    with pytest.raises(NeedsStockEngine):
        CapiEngine(refused, 1)


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
            "Session": calls["CreateSession"] + calls["CreateSessionFromArray"] - 1,
            # Inputs, and the outputs of the two runs that succeeded.
            "Value": (calls["CreateTensorWithDataAsOrtValue"]
                      + calls["CreateTensorAsOrtValue"] + 2),
        }  # fmt: skip
        assert {kind: calls[f"Release{kind}"] for kind in made} == made
        assert calls["_release_status"] == calls["_error_code"] == 4

    @pytest.mark.parametrize(
        "function",
        [
            "CreateTensorAsOrtValue",
            "GetResizedStringTensorElementBuffer",
            "GetStringTensorDataLength",
            "GetStringTensorContent",
        ],
    )
    def test_strings_that_stop_half_way_are_released(
        self,
        calls: dict[str, int],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        function: str,
    ) -> None:
        path = onnx_models.save(onnx_models.shout(), tmp_path / "model.onnx")
        engine = CapiEngine(path, 1)
        loaded, count = library.load_library(), iter(range(4))
        inner = getattr(loaded, function)

        def fail(*arguments: object) -> object:
            # Where it is called for each string, the first of them is in.
            if next(count) or function != "GetResizedStringTensorElementBuffer":
                raise library.OrtFailure("Fail", "not this time")
            return inner(*arguments)

        monkeypatch.setattr(loaded, function, fail)
        with pytest.raises(InvalidInput, match="not this time"):
            engine.run({"text": strings(1, b"a", b"b")}, ["shouted"])
        inputs = calls.get("CreateTensorAsOrtValue", 0)
        outputs = calls.get("Run", 0)
        assert calls.get("ReleaseValue", 0) == inputs + outputs
        assert calls.get("ReleaseTensorTypeAndShapeInfo", 0) == outputs

    def test_memory_stays_flat(self, tmp_path: Path) -> None:
        identity = onnx_models.save(onnx_models.identity("FP32", ["N"]), tmp_path / "a.onnx")
        lookup = onnx_models.save(onnx_models.lookup(), tmp_path / "b.onnx")
        texts = onnx_models.save(onnx_models.identity("BYTES", [2]), tmp_path / "c.onnx")
        growth = int(run_python(GROWTH, identity, lookup, texts))
        # 300 outputs of 1 MB each, 300 of strings, 600 refusals and 180 sessions went by.
        assert growth < 8 << 20


GROWTH = """
import gc, sys
from inference_runtime.engine import Cancellation
from inference_runtime.engine.capi.session import CapiEngine
from inference_runtime.errors import InvalidInput
from inference_runtime.tensor import BYTES, FP32, INT64, Tensor, pack_elements

megabyte = Tensor(FP32, (1 << 18,), bytes(1 << 20))
absent = Tensor(INT64, (1,), bytes([7, 0, 0, 0, 0, 0, 0, 0]))
long = pack_elements([bytes(1 << 20), b"a" * (1 << 20)])

def refused(engine, inputs, output):
    try:
        engine.run(inputs, [output])
    except InvalidInput:
        return
    raise AssertionError("it answered")

def once():
    identity, lookup, texts = (CapiEngine(path, 1) for path in sys.argv[1:])
    for _ in range(5):
        identity.run({"x": megabyte}, ["y"], Cancellation())
        texts.run({"x": Tensor(BYTES, (2,), long)}, ["y"], Cancellation())
        refused(lookup, {"index": absent}, "row")
        refused(texts, {"x": Tensor(BYTES, (1, 2), long)}, "y")

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

for _ in range(20):
    once()
before = resident()
for _ in range(60):
    once()
print(resident() - before)
"""


def run_python(script: str, *arguments: str, **environ: str) -> str:
    """What a fresh interpreter prints. It ends well, and says nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, text=True, timeout=120, env={**os.environ, **environ},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


# What the first line imports is needed, and brings along other modules in each version of Python.
PREDICT = """
import ctypes, math, mmap, os, struct, sys, threading
before = set(sys.modules)
from inference_runtime.engine.selection import load
from inference_runtime.tensor import FP32, Tensor

engine = load(sys.argv[1], 2)
assert engine.run({"x": Tensor(FP32, (1, 2), bytes(8))}, ["y"])["y"].shape == (1, 2)
"""
# What else the first prediction needs beside this package.
# An import more is time on every cold start.
NEEDED = {"__future__"}


class TestStart:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        return onnx_models.save(onnx_models.logarithm(), tmp_path / "model.onnx")

    def test_a_prediction_loads_no_module_that_it_does_not_need(self, path: str) -> None:
        loaded = run_python(PREDICT + "print(*set(sys.modules) - before)", path).split()
        assert {name for name in loaded if not name.startswith("inference_runtime")} <= NEEDED
        assert "inference_runtime.engine.stock" not in loaded

    def test_onnxruntime_reports_nothing_and_writes_nothing(
        self, path: str, tmp_path: Path
    ) -> None:
        home = tmp_path / "home"
        home.mkdir()
        places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "TMPDIR"), str(home))
        script = PREDICT + "print(os.environ['ORT_DISABLE_TELEMETRY'])"
        assert run_python(script, path, **places) == "1"
        assert list(home.iterdir()) == []


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

    @pytest.mark.parametrize("version", ["1.26.0", "1.32.0"])
    def test_a_tested_version(self, version: str) -> None:
        library.check_version(version, "lib")

    @pytest.mark.parametrize("version", ["1.25.1", "1.33.0", "2.30.0", "1.99.0+build"])
    def test_an_untested_version(self, version: str) -> None:
        with pytest.raises(NeedsStockEngine, match=f"is onnxruntime {version.split('+')[0]}"):
            library.check_version(version, "lib")

    def test_the_installed_version_is_tested(self) -> None:
        loaded = library.Library(library.find_library())
        assert loaded.version == pytest.importorskip("onnxruntime").__version__
