"""The gate and the choice."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from inference_runtime.engine.options import DEFAULT_OPTIONS
from inference_runtime.optimize.accuracy import Accuracy
from inference_runtime.optimize.candidate import Candidate
from inference_runtime.optimize.choice import Tolerance, choose
from inference_runtime.optimize.measure import Timing

from tests.runtime.onnx_models import scaled
from tests.runtime.optimize import models


def timing(load: float, run: float) -> Timing:
    result = {"engine": "capi", "load_ms": load, "first_ms": 0, "peak_bytes": 1,
              "latencies_ms": {"1": [run]}}  # fmt: skip
    return Timing([result])


def candidates(folder: Path, *times: tuple[float, float]) -> list[Candidate]:
    path = models.save(scaled(), folder)
    return [
        Candidate(str(number), path, DEFAULT_OPTIONS, timing=timing(*time))
        for number, time in enumerate(times)
    ]


@pytest.mark.parametrize(
    ("accuracy", "objection"),
    [
        (Accuracy(0.01, 0, 0.99), ""),
        (Accuracy(0.01, 0, None), ""),
        (Accuracy(0.02, 0, 1), "error 0.02 > 0.01"),
        (Accuracy(math.inf, 0, 1), "error inf > 0.01"),
        (Accuracy(math.nan, 0, 1), "error nan > 0.01"),
        (Accuracy(0, 0, 0.98), "agreement 98.00% < 99.00%"),
    ],
)
def test_the_gate(accuracy: Accuracy, objection: str) -> None:
    assert Tolerance(max_error=0.01, min_agreement=0.99).objection(accuracy) == objection


def test_calls_weigh_the_start_against_the_speed(tmp_path: Path) -> None:
    quick_start, quick_run = (10.0, 5.0), (100.0, 1.0)
    both = candidates(tmp_path, quick_start, quick_run)
    assert choose(both, calls=1).name == "0"
    assert choose(both, calls=1000).name == "1"


def test_of_equals_the_safer_is_taken(tmp_path: Path) -> None:
    assert choose(candidates(tmp_path, (109, 0), (100, 0)), calls=1).name == "0"
    assert choose(candidates(tmp_path, (111, 0), (100, 0)), calls=1).name == "1"


def test_what_is_rejected_or_failed_is_never_taken(tmp_path: Path) -> None:
    three = candidates(tmp_path, (100, 1), (1, 1), (1, 1))
    three[1].rejected = "error"
    three[2].timing = None
    assert choose(three, calls=1).name == "0"
