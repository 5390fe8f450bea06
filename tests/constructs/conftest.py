from __future__ import annotations

import os
from pathlib import Path

# The template validator of the first synth in a process costs seconds; tests/constructs/test_app.py
# runs with it. The setting is read when aws_cdk starts its Node process, so it comes first.
os.environ.setdefault("CDK_VALIDATION", "false")

import pytest
from aws_cdk import Stack
from cdk_inference import InferenceModel

from tests.constructs.onnx_models import save, scale_model
from tests.constructs.synthesis import ROOT, new_stack


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> InferenceModel:
    """A model of a few bytes, with a version that is the same everywhere."""
    path = save(scale_model(), tmp_path_factory.mktemp("model") / "scale.onnx")
    return InferenceModel.from_file(path, version="1")


@pytest.fixture(scope="session")
def digits_under_the_same_name() -> InferenceModel:
    """Another model that says it is the same as ``model``."""
    return InferenceModel.from_file(
        ROOT / "models" / "digits" / "digits.onnx", name="scale", version="1"
    )


@pytest.fixture
def stack() -> Stack:
    """An empty stack without feature flags, as a library must work in."""
    return new_stack()


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of built artifacts of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CDK_INFERENCE_CACHE", str(folder))
    return folder
