"""The manifest beside a model: what serves where it holds, and what where it does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from inference_runtime import manifest
from inference_runtime.engine.options import DEFAULT_OPTIONS
from inference_runtime.loading import Loader
from inference_runtime.settings import Settings
from inference_runtime.tensor import FP32, Tensor

from tests.runtime.manifests import entry, write
from tests.runtime.onnx_models import scaled

ORIGINAL, OPTIMIZED = 10.0, 20.0  # by their factors one can tell which one answered


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    onnx.save(scaled(ORIGINAL), tmp_path / "model.onnx")
    onnx.save(scaled(OPTIMIZED), tmp_path / "optimized.onnx")
    write(tmp_path)
    return tmp_path


def factor(folder: Path) -> float:
    """By what the model that serves multiplies."""
    service = Loader(Settings.read({"MODEL_URI": str(folder / "model.onnx")})).ahead()
    one = Tensor(FP32, [1, 2], np.ones(2, np.float32))
    return float(np.frombuffer(service.infer({"x": one})["y"].buffer, np.float32)[0])


def test_the_optimised_model_serves_as_it_was_measured(folder: Path) -> None:
    served = manifest.served(str(folder / "model.onnx"))
    assert served.path == str(folder / "optimized.onnx")
    assert (served.options.optimize_graph, served.options.prepack) == (False, False)
    assert factor(folder) == OPTIMIZED


def test_without_a_manifest_the_model_serves(folder: Path, capsys: Any) -> None:
    (folder / manifest.MANIFEST_FILE).unlink()
    served = manifest.served(str(folder / "model.onnx"))
    assert served.options is DEFAULT_OPTIONS
    assert factor(folder) == ORIGINAL
    assert capsys.readouterr().out == ""


def test_another_model_in_the_folder_is_not_the_manifest_s_affair(folder: Path) -> None:
    other = folder / "other.onnx"
    onnx.save(scaled(30.0), other)
    assert manifest.served(str(other)).path == str(other)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        # As large as before: a model trained anew, whose graph is the same.
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return damage


def cut_short(folder: Path) -> None:
    content = (folder / "optimized.onnx").read_bytes()
    (folder / "optimized.onnx").write_bytes(content[:-20])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (replaced("optimized.onnx"), "optimized.onnx is not the file"),
        (replaced("model.onnx"), "model.onnx is not the file"),
        (cut_short, "bytes and the manifest was made for"),
        (lambda folder: (folder / "optimized.onnx").unlink(), "optimized.onnx is missing"),
        (lambda folder: write(folder, onnxruntime="1.2.3"), "onnxruntime 1.2.3"),
        (lambda folder: write(folder, instruction_set="z80"), "optimised for 'z80'"),
        (lambda folder: write(folder, manifest_version=99), "version is 99"),
        (lambda folder: write(folder, load={}), "is no manifest"),
        (lambda folder: write(folder, served={"file": "x", "files": {"../x": {}}}), "outside"),
        (lambda folder: write(folder, served={"file": "x", "files": {}}), "none of the files"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "is no manifest"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "is no manifest"),
        (lambda folder: as_folder(folder / "manifest.json"), "Is a directory"),
    ],
)
def test_where_it_does_not_hold_the_original_serves_and_the_log_says_why(
    folder: Path, capsys: Any, damage: Callable[[Path], None], reason: str
) -> None:
    damage(folder)
    served = manifest.served(str(folder / "model.onnx"))
    assert served.path == str(folder / "model.onnx")
    line = json.loads(capsys.readouterr().out)
    assert line["message"] == "the original model serves, unoptimised"
    assert reason in line["reason"]


def test_what_was_measured_on_the_cpu_serves_there_only(folder: Path, capsys: Any) -> None:
    model = str(folder / "model.onnx")
    assert manifest.served(model, on_cpu=False).path == model
    assert "measured on the CPU" in json.loads(capsys.readouterr().out)["reason"]


def unknown_operator() -> bytes:
    made = scaled(OPTIMIZED)
    made.graph.node[0].op_type = "Unknown"
    return made.SerializeToString()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a model", "optimized.onnx is no complete ONNX file"),
        (unknown_operator(), "optimized.onnx cannot be loaded"),
    ],
)
def test_an_optimised_model_that_does_not_load_is_replaced_by_the_original(
    folder: Path, capsys: Any, content: bytes, reason: str
) -> None:
    (folder / "optimized.onnx").write_bytes(content)
    write(folder)
    assert factor(folder) == ORIGINAL
    (line,) = capsys.readouterr().out.splitlines()
    assert reason in json.loads(line)["reason"]


def test_the_version_is_told_without_loading_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    version = manifest.onnxruntime_version()
    monkeypatch.undo()
    assert version == onnxruntime.__version__


def test_a_large_file_is_compared_by_size_at_load_and_digested_by_inspect(tmp_path: Path) -> None:
    large = tmp_path / "weights"
    large.write_bytes(bytes(manifest.DIGEST_UP_TO_BYTES + 1))
    files = {"weights": entry(large)}
    large.write_bytes(b"\1" * (manifest.DIGEST_UP_TO_BYTES + 1))

    manifest.check_files(files, str(tmp_path), whole=False)
    with pytest.raises(manifest.Mismatch, match="is not the file"):
        manifest.check_files(files, str(tmp_path), whole=True)


def test_the_instruction_set_starts_with_the_machine() -> None:
    import platform

    assert manifest.instruction_set().split()[0] == platform.machine()
