"""Measures models, each in a fresh process, in turns, so that a busy moment hits all alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

import onnx

from inference_runtime.engine.options import disable_telemetry
from inference_runtime.optimize import tensor_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    from inference_runtime.engine.options import LoadOptions
    from inference_runtime.optimize.samples import Samples
    from inference_runtime.tensor import Tensor

BATCH_SIZES: Final = (1, 8, 32)
PERCENTILES: Final = (50, 95, 99)


class Subject:
    """What is measured.

    Attributes:
        name: tells it from others.
        model: the file.
        options: how it is loaded.
    """

    __slots__ = ("model", "name", "options")

    def __init__(self, name: str, model: str, options: LoadOptions) -> None:
        self.name = name
        self.model = model
        self.options = options


class Effort:
    """How long to measure.

    Attributes:
        rounds: fresh processes for each subject.
        runs: of each batch size in each process, at most.
        seconds: for each batch size in each process, after which no run is begun.
        threads: of one run.
    """

    __slots__ = ("rounds", "runs", "seconds", "threads")

    def __init__(self, rounds: int = 3, runs: int = 100, seconds: float = 1, threads: int = 1):
        self.rounds = rounds
        self.runs = runs
        self.seconds = seconds
        self.threads = threads


class Timing:
    """What was measured of one subject, over all rounds.

    Attributes:
        engine: that ran it: ``capi`` or ``stock``.
        load_ms: to load the model, with onnxruntime started before; the median of the rounds.
        first_ms: the first run; the median of the rounds.
        latency_ms: percentiles of a run by batch size, of all runs of all rounds:
            ``{1: {50: 0.2, 95: 0.3, 99: 0.4}, …}``.
        peak_bytes: the most memory that a process held, interpreter and library included; the
            median of the rounds.
        start_ms: load and first run, of the quietest round: what other processes add says nothing
            of the model.
        run_ms: a run of one row: the median of the quietest round.
    """

    __slots__ = (
        "engine", "first_ms", "latency_ms", "load_ms", "peak_bytes", "run_ms", "start_ms",
    )  # fmt: skip

    def __init__(self, results: Sequence[Mapping[str, Any]]) -> None:
        self.engine: str = results[0]["engine"]
        self.load_ms: float = statistics.median(result["load_ms"] for result in results)
        self.first_ms: float = statistics.median(result["first_ms"] for result in results)
        self.peak_bytes = round(statistics.median(result["peak_bytes"] for result in results))
        self.latency_ms = {
            int(rows): _percentiles([ms for r in results for ms in r["latencies_ms"][rows]])
            for rows in results[0]["latencies_ms"]
        }
        self.start_ms: float = min(result["load_ms"] + result["first_ms"] for result in results)
        self.run_ms: float = min(statistics.median(r["latencies_ms"]["1"]) for r in results)


class Outcome:
    """A subject's measurement, or why there is none.

    Attributes:
        timing: ``None`` where the model failed.
        answers: of the samples, run by run.
        failure: why there is no timing; empty where there is.
    """

    __slots__ = ("answers", "failure", "timing")

    def __init__(
        self, timing: Timing | None, answers: list[dict[str, Tensor]], failure: str = ""
    ) -> None:
        self.timing = timing
        self.answers = answers
        self.failure = failure


def measure(
    subjects: Sequence[Subject],
    samples: Samples,
    effort: Effort,
    folder: str,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Outcome]:
    """Measure every subject in each round, and let it answer the samples in the first.

    Args:
        subjects: in the order of a round.
        samples: what they run on.
        effort: how long.
        folder: for files in between.
        progress: called before each process with what it measures.

    Returns:
        Outcomes by subject's name.
    """
    job = _job(samples, effort, folder)
    results: dict[str, list[dict[str, Any]]] = {subject.name: [] for subject in subjects}
    failures: dict[str, str] = {}
    for round_number in range(effort.rounds):
        for subject in subjects:
            if subject.name in failures:
                continue
            progress(subject.name)
            answers = _answers_path(folder, subject) if round_number == 0 else None
            try:
                results[subject.name].append(_run(job, subject, answers, folder))
            except _Failed as failure:
                failures[subject.name] = str(failure)
    return {subject.name: _outcome(subject, results, failures, folder) for subject in subjects}


class _Failed(Exception):
    """The measuring process failed; the text says why."""


def _job(samples: Samples, effort: Effort, folder: str) -> dict[str, Any]:
    batches = {}
    for rows in BATCH_SIZES if samples.batchable else BATCH_SIZES[:1]:
        batches[str(rows)] = path = os.path.join(folder, f"batch-{rows}")
        tensor_file.write(path, [samples.batch(rows)])
    tensor_file.write(os.path.join(folder, "samples"), samples.runs())
    warm_up_model = os.path.join(folder, "warm-up.onnx")
    onnx.save(_tiny_model(), warm_up_model)
    return {
        "warm_up_model": warm_up_model,
        "batches": batches,
        "samples": os.path.join(folder, "samples"),
        "runs": effort.runs,
        "seconds": effort.seconds,
        "threads": effort.threads,
    }


def _tiny_model() -> onnx.ModelProto:
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    opsets = [onnx.helper.make_opsetid("", 18)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _run(job: dict[str, Any], subject: Subject, answers: str | None, folder: str) -> dict[str, Any]:
    path = os.path.join(folder, "job.json")
    weights = subject.options.weights
    with open(path, "w") as file:
        json.dump(
            job | {
                "model": subject.model, "answers": answers,
                "batches": _batches(job["batches"], subject),
                "optimize_graph": subject.options.optimize_graph,
                "prepack": subject.options.prepack,
                "weights": weights.json if weights is not None else None,
            },
            file,
        )  # fmt: skip
    disable_telemetry()
    finished = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "inference_runtime.optimize.worker", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if finished.returncode:
        raise _Failed(_reason(finished))
    # A warning in the log may come before the result.
    return json.loads(finished.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def _batches(batches: dict[str, str], subject: Subject) -> dict[str, str]:
    """Weights that are not packed are for the first answers, and those are of one row."""
    return batches if subject.options.prepack else dict([next(iter(batches.items()))])


def _reason(finished: subprocess.CompletedProcess[str]) -> str:
    lines = finished.stderr.strip().splitlines()
    if finished.returncode < 0:
        return f"its process was ended by signal {-finished.returncode}"
    return lines[-1] if lines else f"its process ended with exit code {finished.returncode}"


def _outcome(
    subject: Subject,
    results: Mapping[str, list[dict[str, Any]]],
    failures: Mapping[str, str],
    folder: str,
) -> Outcome:
    if subject.name in failures:
        return Outcome(None, [], failures[subject.name])
    answers = tensor_file.read(_answers_path(folder, subject))
    return Outcome(Timing(results[subject.name]), answers)


def _answers_path(folder: str, subject: Subject) -> str:
    return os.path.join(folder, f"answers-{subject.name}")


def _percentiles(values: list[float]) -> dict[int, float]:
    """By nearest rank: each is a value that occurred."""
    ordered = sorted(values)
    return {p: ordered[max(0, -(-p * len(ordered) // 100) - 1)] for p in PERCENTILES}
