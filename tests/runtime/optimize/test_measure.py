"""Measuring: fresh processes, in turns, and failures that stop nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from inference_runtime.engine.options import DEFAULT_OPTIONS, LoadOptions
from inference_runtime.optimize import tensor_file
from inference_runtime.optimize.measure import Effort, Subject, Timing, measure
from inference_runtime.tensor import BOOL, BYTES, FP32, Tensor, pack_elements

from tests.runtime.onnx_models import lookup, shout
from tests.runtime.optimize import models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "measuring").mkdir()
    return tmp_path


def test_each_round_measures_everyone_in_turn(folder: Path) -> None:
    path = models.save(models.dense(), folder)
    samples = models.samples_of(path, models.feature_arrays(), folder)
    subjects = [Subject("a", path, DEFAULT_OPTIONS), Subject("b", path, LoadOptions(prepack=False))]
    told: list[str] = []
    effort = Effort(rounds=2, runs=3)

    outcomes = measure(subjects, samples, effort, str(folder / "measuring"), told.append)

    assert told == ["a", "b", "a", "b"]
    for name, rows in (("a", {1, 8, 32}), ("b", {1})):
        outcome = outcomes[name]
        timing = outcome.timing
        assert timing is not None
        assert timing.engine == "capi"
        assert set(timing.latency_ms) == rows
        assert 0 < timing.latency_ms[1][50] <= timing.latency_ms[1][99]
        assert 10e6 < timing.peak_bytes < 200e6
        (run,) = outcome.answers
        assert run["probabilities"].shape == (8, 10)


def test_a_model_that_fails_says_why_and_stops_nobody(folder: Path) -> None:
    path = models.save(lookup(), folder)
    samples = models.samples_of(path, {"index": [0, 99]}, folder)
    good = models.samples_of(path, {"index": [0, 1]}, folder)
    subject = Subject("lookup", path, DEFAULT_OPTIONS)
    effort = Effort(rounds=2, runs=1)

    failed = measure([subject], samples, effort, str(folder / "measuring"))["lookup"]
    assert failed.timing is None
    assert "indices element out of data bounds" in failed.failure

    absent = Subject("absent", str(folder / "absent.onnx"), DEFAULT_OPTIONS)
    outcomes = measure([absent, subject], good, effort, str(folder / "measuring"))
    assert "absent.onnx cannot be loaded" in outcomes["absent"].failure
    assert outcomes["lookup"].timing is not None


def test_a_model_of_texts_answers_in_texts(folder: Path) -> None:
    path = models.save(shout(), folder)
    samples = models.samples_of(path, {"text": [["a", "b"]]}, folder)
    subject = Subject("shout", path, DEFAULT_OPTIONS)
    outcome = measure([subject], samples, Effort(1, 1), str(folder / "measuring"))["shout"]
    assert outcome.timing is not None
    assert outcome.timing.engine == "capi"
    assert outcome.answers[0]["shouted"].buffer.tobytes() == pack_elements([b"a!", b"b!"])


def test_percentiles_are_of_all_rounds_and_times_are_their_median() -> None:
    rounds = [
        {"engine": "capi", "load_ms": load, "first_ms": 1, "peak_bytes": 1,
         "latencies_ms": {"1": list(range(start, start + 50))}}
        for load, start in ((3, 1), (100, 51), (2, 101), (4, 151))
    ]  # fmt: skip
    timing = Timing(rounds)
    assert timing.load_ms == 3.5
    assert timing.latency_ms == {1: {50: 100, 95: 190, 99: 198}}
    assert (timing.start_ms, timing.run_ms) == (3, 25.5)  # of the quietest rounds


def test_tensors_come_back_from_a_file_as_they_went(tmp_path: Path) -> None:
    runs = [
        {"a": Tensor(FP32, [1, 2], bytes(8)), "b": Tensor(BYTES, [1], pack_elements([b"x\n"]))},
        {"a": Tensor(BOOL, [0, 3], b"")},
    ]
    path = str(tmp_path / "tensors")
    tensor_file.write(path, runs)
    read = tensor_file.read(path)
    assert [list(run) for run in read] == [["a", "b"], ["a"]]
    for before, after in zip(runs, read, strict=True):
        for name, tensor in before.items():
            assert (after[name].datatype, after[name].shape) == (tensor.datatype, tensor.shape)
            assert after[name].buffer.tobytes() == tensor.buffer.tobytes()
