"""The folder that ``optimize`` writes: model, optimised model, manifest, picture; whole or not."""

from __future__ import annotations

import json
import os
import shutil

import onnxruntime

from inference_runtime import __version__
from inference_runtime.engine.labels import CLASS_LABELS, parse_labels
from inference_runtime.manifest import MANIFEST_FILE, MANIFEST_VERSION, instruction_set
from inference_runtime.optimize import model_file, picture
from inference_runtime.optimize.errors import NotOptimized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.optimize.pipeline import Result

MODEL_FILE: Final = "model.onnx"
OPTIMIZED_FILE: Final = "optimized.onnx"
OPTIMIZED_ORT_FILE: Final = "optimized.ort"
PICTURE_FILE: Final = "report.svg"


def check_target(output: str, model: str) -> None:
    """Check, before any work, that ``output`` may be written.

    Raises:
        NotOptimized: it exists and no earlier run wrote it, or the model is in it.
    """
    if not os.path.lexists(output):
        return
    if not os.path.isfile(os.path.join(output, MANIFEST_FILE)):
        raise NotOptimized(
            f"{output} exists and was not written by `optimize`, which replaces it as a whole;"
            " give another --output"
        )
    if os.path.realpath(model).startswith(os.path.realpath(output) + os.sep):
        raise NotOptimized(
            f"{model} is in {output}, which would be replaced; give another --output"
        )


def publish(result: Result, original: str, folder: str) -> None:
    """Write the result into the empty ``folder``, and make that ``result.task.output``."""
    copied = _copy(original, folder)
    served = copied if result.served.path == original else _copy(result.served.path, folder)
    document = _manifest(result, folder, copied, served)
    with open(os.path.join(folder, MANIFEST_FILE), "w") as file:
        json.dump(document, file, indent=2, allow_nan=False)
        file.write("\n")
    with open(os.path.join(folder, PICTURE_FILE), "w") as file:
        file.write(picture.draw(result))
    _replace(folder, result.task.output)


def _copy(path: str, folder: str) -> list[str]:
    """Copy a model's files; their names, the model's first."""
    names = model_file.files_of(path)
    for name in names:
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        shutil.copyfile(os.path.join(os.path.dirname(path), name), os.path.join(folder, name))
    return names


def _replace(folder: str, output: str) -> None:
    if not os.path.lexists(output):
        os.rename(folder, output)
        return
    before = folder + "-before"  # in the temporary folder, which goes away as a whole
    try:
        os.rename(output, before)
        os.rename(folder, output)
    except BaseException:
        if not os.path.lexists(output):
            os.rename(before, output)
        raise


def _manifest(
    result: Result, folder: str, original: list[str], served: list[str]
) -> dict[str, Any]:
    served_candidate, task, weights = result.served, result.task, result.served.weights
    timing = served_candidate.timing
    model = model_file.read(os.path.join(folder, MODEL_FILE), weights=False)
    labels = model_file.metadata(model).get(CLASS_LABELS)
    threads = task.effort.threads
    return {
        "manifest_version": MANIFEST_VERSION,
        "made_by": f"inference-runtime {__version__}",
        "original": {"file": original[0], "files": _files(folder, original)},
        "served": {
            "file": served[0],
            "files": _files(folder, served),
            "weights": weights.json if weights is not None else None,
        },
        "load": {
            "optimize_graph": served_candidate.optimize_graph,
            "prepack": served_candidate.prepack,
            "unpacked_start": served_candidate.unpacked_start,
            "request_elements": result.samples.largest,
        },
        "onnxruntime": onnxruntime.__version__,
        "instruction_set": instruction_set() if served_candidate.this_processor else None,
        "optimization_level": _level(result),
        "engine": timing.engine if timing else None,
        "class_labels": parse_labels(labels, MODEL_FILE) if labels else None,
        "how": {
            "candidate": result.chosen.name,
            "load": served_candidate.name,
            "tolerance": {
                "max_error": task.tolerance.max_error,
                "min_agreement": task.tolerance.min_agreement,
            },
            "samples": len(result.samples) if result.samples.given else 0,
            "calls_per_instance": task.calls,
            "threads": threads,
            "measured_on": instruction_set(),
        },
        "candidates": [candidate.figures(threads) for candidate in result.candidates],
        "skipped": result.skipped,
        "variants": [variant.figures(threads) for variant in result.variants],
    }


def _level(result: Result) -> str:
    """The optimisation level that is in the file, in onnxruntime's words."""
    if result.chosen.name in ("original", "slim"):
        return "none"
    return "all" if result.served.this_processor else "extended"


def _files(folder: str, names: list[str]) -> dict[str, dict[str, Any]]:
    paths = {name: os.path.join(folder, name) for name in names}
    return {
        name: {"size": os.path.getsize(path), "sha256": model_file.digest(path)}
        for name, path in paths.items()
    }
