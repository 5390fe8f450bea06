"""A model with the manifest of `inference-runtime optimize` is packaged with what it names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnxruntime
import pytest
from aws_cdk.assertions import Annotations as AssertionsAnnotations
from aws_cdk.assertions import Match
from cdk_inference import InferenceModel, MLInferenceFunction
from cdk_inference.contract import MANIFEST_FILE, MODEL_FILE
from cdk_inference.runtime_files import packaged_onnxruntime
from cdk_inference.validation import ConfigurationError

from tests.constructs.synthesis import new_stack

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


def warnings_of(folder: Path, **manifest: object) -> list[str]:
    """What the CDK would print for a function with the folder's model."""
    document = json.loads((folder / MANIFEST_FILE).read_text())
    (folder / MANIFEST_FILE).write_text(json.dumps(document | manifest))
    stack = new_stack({})
    MLInferenceFunction(stack, "Digits", model=InferenceModel.from_file(folder / MODEL_FILE))
    found = AssertionsAnnotations.from_stack(stack).find_warning("*", Match.any_value())
    return [str(warning.entry.data) for warning in found if "optimizedModel" in str(warning.entry)]


def test_an_optimised_model_that_will_serve_is_no_reason_to_warn(folder: Path) -> None:
    assert warnings_of(folder, onnxruntime=packaged_onnxruntime(), instruction_set=None) == []
    on_intel = "x86_64 avx avx2"
    assert warnings_of(folder, onnxruntime=packaged_onnxruntime(), instruction_set=on_intel) == []


def test_what_was_optimised_for_another_runtime_or_processor_is_warned_of(folder: Path) -> None:
    (warning,) = warnings_of(folder, onnxruntime="1.2.3", instruction_set=None)
    assert "was optimised with onnxruntime 1.2.3" in warning
    assert f"onnxruntime=={packaged_onnxruntime()} installed" in warning
    (warning,) = warnings_of(
        folder, onnxruntime=packaged_onnxruntime(), instruction_set="aarch64 asimd"
    )
    assert "the function runs on x86_64" in warning


def test_the_packaged_onnxruntime_is_the_one_of_the_tests() -> None:
    assert packaged_onnxruntime() == onnxruntime.__version__
