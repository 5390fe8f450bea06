"""The committed digits model is what its script makes, and reads digits that it never saw."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from inference_runtime import serving
from inference_runtime.dataplane import DataPlane
from inference_runtime.settings import Settings


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "models" / "digits" / "train.py"
    spec = importlib.util.spec_from_file_location("digits_train", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plane(digits: Path) -> DataPlane:
    return serving.start(Settings.read({"MODEL_URI": str(digits / "digits.onnx")}))


def test_training_again_gives_the_committed_model(script: ModuleType, digits: Path) -> None:
    train_pixels, test_pixels, train_labels, test_labels = script.split()
    again = script.predict(script.to_model(script.train(train_pixels, train_labels)), test_pixels)
    committed = script.predict((digits / "digits.onnx").read_bytes(), test_pixels)
    assert np.mean(again == test_labels) >= script.REQUIRED_ACCURACY
    # Another processor's arithmetic may tip a digit or two.
    assert np.mean(again == committed) >= 0.99


def test_the_runtime_reads_the_held_out_digits(
    script: ModuleType, plane: DataPlane, digits: Path
) -> None:
    _, pixels, _, labels = script.split()
    answer = plane.invoke({"features": pixels.tolist()}, "id")
    assert isinstance(answer, dict)
    predicted = [prediction["label"] for prediction in answer["predictions"]]
    committed = script.predict((digits / "digits.onnx").read_bytes(), pixels)
    assert predicted == committed.tolist()
    assert np.mean(np.array(predicted) == labels) >= script.REQUIRED_ACCURACY


def test_each_sample_is_read_with_probabilities_by_digit(plane: DataPlane, digits: Path) -> None:
    samples = json.loads((digits / "samples.json").read_text())
    assert [sample["label"] for sample in samples] == list(range(10))
    for sample in samples:
        answer = plane.invoke({"features": sample["pixels"]}, "id")
        assert isinstance(answer, dict)
        prediction = answer["predictions"]
        assert prediction["label"] == sample["label"]
        assert list(prediction["probabilities"]) == [str(digit) for digit in range(10)]
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)
