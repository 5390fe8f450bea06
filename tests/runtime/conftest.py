from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from inference_runtime import serving
from inference_runtime.dataplane import DataPlane
from inference_runtime.settings import Settings

from tests.runtime import onnx_models

REPOSITORY = Path(__file__).parents[2]

Start = Callable[..., DataPlane]
ReadLog = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def digits() -> Path:
    """The folder of the committed digits model."""
    return REPOSITORY / "models" / "digits"


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a data plane for a model, with further settings as keywords."""

    def _start(model: onnx.ModelProto, **environ: str) -> DataPlane:
        path = onnx_models.save(model, tmp_path / "model.onnx")
        return serving.start(Settings.read({"MODEL_URI": path, **environ}))

    return _start


@pytest.fixture
def read_log(capsys: pytest.CaptureFixture[str]) -> ReadLog:
    """The lines that were logged since the last call."""

    def _read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return _read
