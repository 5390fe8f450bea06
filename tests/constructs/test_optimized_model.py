"""A model with the manifest of `inference-runtime optimize` is packaged with what it names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cdk_inference import InferenceModel
from cdk_inference.contract import MANIFEST_FILE, MODEL_FILE
from cdk_inference.validation import ConfigurationError

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.onnx"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / MODEL_FILE).write_bytes(DIGITS.read_bytes())
    (tmp_path / "optimized.onnx").write_bytes(b"optimised")
    entries = {
        name: {"sha256": hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}
        for name in (MODEL_FILE, "optimized.onnx")
    }
    document = {
        "original": {"file": MODEL_FILE, "files": {MODEL_FILE: entries[MODEL_FILE]}},
        "served": {
            "file": "optimized.onnx",
            "files": {"optimized.onnx": entries["optimized.onnx"]},
        },
    }
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(document))
    return tmp_path


def test_the_manifest_and_its_files_go_along(folder: Path) -> None:
    model = InferenceModel.from_file(folder / MODEL_FILE)
    assert model.files == {
        name: folder / name for name in (MODEL_FILE, MANIFEST_FILE, "optimized.onnx")
    }
    assert model.version != InferenceModel.from_file(DIGITS).version


def test_files_that_are_not_the_manifest_s_are_refused(folder: Path) -> None:
    (folder / "optimized.onnx").write_bytes(b"another")
    with pytest.raises(ConfigurationError, match=r"not the file that .* was made for"):
        InferenceModel.from_file(folder / MODEL_FILE)
    (folder / "optimized.onnx").unlink()
    with pytest.raises(ConfigurationError, match=r"optimized\.onnx is missing"):
        InferenceModel.from_file(folder / MODEL_FILE)


def test_a_file_outside_the_folder_is_refused(folder: Path) -> None:
    document = json.loads((folder / MANIFEST_FILE).read_text())
    document["served"]["files"] = {"../secret": {"sha256": "0"}}
    (folder / MANIFEST_FILE).write_text(json.dumps(document))
    with pytest.raises(ConfigurationError, match=r"\.\./secret is missing or not"):
        InferenceModel.from_file(folder / MODEL_FILE)


@pytest.mark.parametrize("text", ['{"name": "a web app"}', "[]", "not JSON", '{"original": 1}'])
def test_somebody_else_s_manifest_is_left_alone(folder: Path, text: str) -> None:
    (folder / MANIFEST_FILE).write_text(text)
    model = InferenceModel.from_file(folder / MODEL_FILE)
    assert model.files == {MODEL_FILE: folder / MODEL_FILE}


def test_another_model_in_the_folder_is_alone(folder: Path) -> None:
    (folder / "other.onnx").write_bytes(DIGITS.read_bytes())
    model = InferenceModel.from_file(folder / "other.onnx")
    assert model.files == {MODEL_FILE: folder / "other.onnx"}
