"""The gate and the choice."""

from __future__ import annotations

import math
from pathlib import Path
from struct import pack

import pytest
from inference_runtime.optimize.accuracy import Accuracy
from inference_runtime.optimize.candidate import Candidate
from inference_runtime.optimize.choice import Tolerance, choose, judge
from inference_runtime.optimize.measure import Outcome, Timing
from inference_runtime.tensor import FP32, Tensor

from tests.runtime.onnx_models import scaled
from tests.runtime.optimize import models


def timing(load: float, run: float) -> Timing:
    result = {"engine": "capi", "load_ms": load, "first_ms": 0, "peak_bytes": 1,
              "latencies_ms": {"1": [run]}}  # fmt: skip
    return Timing([result])


def candidates(folder: Path, *times: tuple[float, float]) -> list[Candidate]:
    path = models.save(scaled(), folder)
    return [Candidate(str(number), path, timing=timing(*time)) for number, time in enumerate(times)]


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
    assert choose(candidates(tmp_path, (1.9, 0), (1, 0)), calls=1).name == "0"


def test_of_equal_lives_the_one_with_exact_answers_is_taken_and_then_the_first_to_start(
    tmp_path: Path,
) -> None:
    three = candidates(tmp_path, (100, 10), (50, 10), (1, 10))
    three[2].lossy = True
    assert choose(three, calls=100).name == "1"
    assert choose(three, calls=1).name == "2"


def test_what_is_rejected_or_failed_is_never_taken(tmp_path: Path) -> None:
    three = candidates(tmp_path, (100, 1), (1, 1), (1, 1))
    three[1].rejected = "error"
    three[2].timing = None
    assert choose(three, calls=1).name == "0"


@pytest.mark.parametrize(
    ("packed", "unpacked", "prepack", "unpacked_start", "life"),
    [
        ((100, 5), (10, 10), True, True, 10 + 5),  # answer first, pack afterwards
        ((100, 5), (10, 5.4), False, True, 10 + 5.4),  # packing gains too little
        ((20, 5), (30, 40), True, False, 20 + 5),  # 8-bit convolutions: slow from the first run
        ((10, 5), (11, 5), False, True, 11 + 5),  # the same but for noise
    ],
)
def test_an_instance_starts_and_runs_as_was_measured_best(
    packed: tuple[float, float],
    unpacked: tuple[float, float],
    prepack: bool,
    unpacked_start: bool,
    life: float,
    tmp_path: Path,
) -> None:
    (candidate,) = candidates(tmp_path, packed)
    candidate.unpacked = timing(*unpacked)
    assert (candidate.prepack, candidate.unpacked_start) == (prepack, unpacked_start)
    assert candidate.instance_ms(calls=1) == life
    figures = candidate.figures(threads=1)
    assert (figures["prepack"], figures["unpacked_start"]) == (prepack, unpacked_start)
    assert figures["unpacked"]["p50_ms"] == unpacked[1]


def test_where_it_was_not_measured_unpacked_weights_are_packed(tmp_path: Path) -> None:
    (candidate,) = candidates(tmp_path, (100, 5))
    assert (candidate.prepack, candidate.unpacked_start) == (True, False)


def test_unpacked_weights_that_answer_otherwise_are_not_used(tmp_path: Path) -> None:
    (candidate,) = candidates(tmp_path, (100, 5))
    packed, unpacked = candidate.subjects
    answers = [{"y": Tensor(FP32, [1], pack("<f", 1))}]
    others = [{"y": Tensor(FP32, [1], pack("<f", 2))}]
    original = Outcome(timing(1, 1), answers)
    for given, used in ((answers, True), (others, False)):
        outcomes = {packed.name: original, unpacked.name: Outcome(timing(1, 9), given)}
        judge([candidate], outcomes, original, Tolerance())
        assert candidate.rejected == ""
        assert (candidate.unpacked is not None) is used
