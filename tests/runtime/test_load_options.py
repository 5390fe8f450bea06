"""How a session is made changes its speed, never its answers; both engines do as they are told."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from inference_runtime.engine import selection
from inference_runtime.engine.options import DEFAULT_OPTIONS, LoadOptions
from inference_runtime.tensor import FP32, Tensor


@pytest.mark.parametrize("engine", [selection.CAPI, selection.STOCK])
def test_every_option_gives_the_same_answer(engine: str, digits: Path) -> None:
    path = str(digits / "digits.onnx")
    inputs = {"pixels": Tensor(FP32, [2, 64], np.arange(128, dtype=np.float32))}
    expected = selection.load(path, 1, engine).run(inputs, ["probabilities"])

    for optimize_graph, layout, prepack in product([True, False], repeat=3):
        options = LoadOptions(optimize_graph=optimize_graph, layout=layout, prepack=prepack)
        outputs = selection.load(path, 1, engine, options).run(inputs, ["probabilities"])
        np.testing.assert_allclose(
            np.frombuffer(outputs["probabilities"].buffer, np.float32),
            np.frombuffer(expected["probabilities"].buffer, np.float32),
            atol=1e-6,
        )


def test_prepacking_is_on_unless_said_otherwise() -> None:
    assert "session.disable_prepacking" not in DEFAULT_OPTIONS.session_config
    assert LoadOptions(prepack=False).session_config["session.disable_prepacking"] == "1"
