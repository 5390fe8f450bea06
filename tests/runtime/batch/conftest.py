from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime import onnx_models
from tests.runtime.batch.batches import line


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Multiplies rows of two numbers by ten."""
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    return str(onnx_models.save(onnx_models.scaled(), path))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Seven inputs, three of them in a folder, with five records each."""
    folder = tmp_path / "inputs"
    for index in range(7):
        path = folder / ("nested" if index % 2 else "") / f"{index}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line(index, row) for row in range(5)))
    return folder
