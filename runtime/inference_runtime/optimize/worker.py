"""One measurement of one model in a process of its own: ``python -m …optimize.worker JOB``.

``JOB`` is a JSON file, a ``Job`` of ``measure.py``. The model runs in the engine that will serve
it, and nothing is imported that serving does not import either, so that memory and times are those
of serving. The result is one JSON object on standard output.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

from inference_runtime.engine import selection
from inference_runtime.engine.options import LoadOptions
from inference_runtime.engine.weights import Weights
from inference_runtime.errors import InferenceError
from inference_runtime.optimize import tensor_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from inference_runtime.engine import Engine
    from inference_runtime.tensor import Tensor


def main(job_path: str) -> int:
    """Do the job in the file ``job_path``; the exit code is 1 where the model cannot run it."""
    with open(job_path) as file:
        job = json.load(file)
    try:
        result = _measure(job)
    except InferenceError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


def _measure(job: dict[str, Any]) -> dict[str, Any]:
    batches = {rows: tensor_file.read(path)[0] for rows, path in job["batches"].items()}
    weights = job["weights"]
    options = LoadOptions(
        optimize_graph=job["optimize_graph"],
        prepack=job["prepack"],
        weights=Weights.from_json(weights) if weights is not None else None,
    )
    selection.load(
        job["warm_up_model"], 1
    )  # onnxruntime's own start takes the same for every model
    start = perf_counter()
    engine = selection.load(job["model"], job["threads"], options=options)
    loaded = perf_counter()
    smallest = next(iter(batches.values()))
    engine.run(smallest, list(engine.signature.outputs))
    first = perf_counter()
    latencies = {
        rows: _latencies(engine, batch, job["runs"], job["seconds"])
        for rows, batch in batches.items()
    }
    if job["answers"]:
        _answer(engine, job["samples"], job["answers"])
    return {
        "engine": _name_of(engine),
        "load_ms": (loaded - start) * 1000,
        "first_ms": (first - loaded) * 1000,
        "latencies_ms": latencies,
        "peak_bytes": _peak_bytes(),
    }


def _latencies(
    engine: Engine, batch: Mapping[str, Tensor], runs: int, seconds: float
) -> list[float]:
    """Milliseconds of ``runs`` runs, or of as many as ``seconds`` allow, but at least one."""
    outputs = list(engine.signature.outputs)
    end = perf_counter() + seconds
    latencies: list[float] = []
    while len(latencies) < runs and (not latencies or perf_counter() < end):
        start = perf_counter()
        engine.run(batch, outputs)
        latencies.append((perf_counter() - start) * 1000)
    return latencies


def _answer(engine: Engine, samples: str, answers: str) -> None:
    outputs = list(engine.signature.outputs)
    runs = [engine.run(sample, outputs) for sample in tensor_file.read(samples)]
    tensor_file.write(answers, runs)


def _name_of(engine: Engine) -> str:
    module = type(engine).__module__
    return selection.STOCK if module.endswith(".stock") else selection.CAPI


def _peak_bytes() -> int:
    """The most memory that the process held: Linux's VmHWM, which counts mapped weights too."""
    try:
        with open("/proc/self/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) * 1024
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes, on macOS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
