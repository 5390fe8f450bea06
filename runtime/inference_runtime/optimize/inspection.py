"""What a model file declares, and what serving it takes."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from inference_runtime.engine.options import DEFAULT_OPTIONS
from inference_runtime.manifest import MANIFEST_FILE, Mismatch, check_files, read_promise
from inference_runtime.optimize import model_file, units
from inference_runtime.optimize import samples as sample_files
from inference_runtime.optimize.errors import NotOptimized
from inference_runtime.optimize.measure import Effort, Subject, measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rich.console import Console

    from inference_runtime.optimize.arrays import Array
    from inference_runtime.optimize.measure import Outcome
    from inference_runtime.signature import Signature, TensorSpec


@dataclass
class Inspection:
    """What is known of a model.

    Attributes:
        path: the ONNX file.
        signature: its inputs and outputs; outputs that are no tensors are in ``other_outputs``.
        other_outputs: names of outputs that are maps or sequences, as ZipMap's are.
        opsets: version of the operators by domain.
        ir_version: of the file format.
        producer: what wrote the file.
        files: bytes by name: the file, and its external data.
        operators: how often each occurs; those of other domains with the domain.
        metadata: the file's properties, class labels among them.
        outcome: of loading it and running it once on made-up input, in a process of its own.
        manifest: what is wrong with the manifest beside it; empty if nothing; ``None`` without one.
        serves: the file that serves here, and why the original where it does; empty without a
            manifest that is whole.
    """

    path: str
    signature: Signature
    other_outputs: list[str]
    opsets: dict[str, int]
    ir_version: int
    producer: str
    files: dict[str, int]
    operators: Counter[str]
    metadata: dict[str, str]
    outcome: Outcome
    manifest: str | None
    serves: str


def inspect_model(path: str) -> Inspection:
    """Read the model at ``path``, and run it once.

    Raises:
        NotOptimized: there is no such file, it is no ONNX model, its external data are missing or
            outside its folder, or an input is of no type that is served.

    Example:
        >>> inspect_model("models/digits/digits.onnx").operators["MatMul"]  # doctest: +SKIP
        2
    """
    model = model_file.read(path, weights=False)
    signature = model_file.signature(model)
    files = _files(path)
    folder, name = os.path.split(path)
    problem = _manifest_problem(folder)
    return Inspection(
        path=path,
        signature=signature,
        other_outputs=[v.name for v in model.graph.output if v.name not in signature.outputs],
        opsets={opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        files=files,
        operators=Counter(_operator(node.domain, node.op_type) for node in model.graph.node),
        metadata=model_file.metadata(model),
        outcome=_run_once(path, signature),
        manifest=problem,
        serves=_serves(folder, name) if problem == "" else "",
    )


def example_requests(signature: Signature) -> dict[str, dict[str, Any]]:
    """A request of one row in each form that the runtime reads, by the form's name."""
    request = sample_files.made_up(signature).requests[0]
    lists = {name: _list(array) for name, array in request.items()}
    if len(lists) == 1:
        (rows,) = lists.values()
        batched = sample_files.takes_batches(signature)
        simple = {"features": rows[0] if batched else rows}
    else:
        simple = {"inputs": lists}
    inputs = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": signature.inputs[name].datatype.name,
            "data": _list(array.ravel()),
        }
        for name, array in request.items()
    ]
    return {"simple form": simple, "Open Inference Protocol": {"inputs": inputs}}


def show(inspection: Inspection, console: Console) -> None:
    """Print ``inspection``."""
    signature = inspection.signature
    console.print(_specs("Inputs", signature.inputs), "", _specs("Outputs", signature.outputs))
    for name in inspection.other_outputs:
        console.print(f"{name}: a ZipMap or a sequence", markup=False)
    console.print("", _facts(inspection), "", _operators(inspection.operators), "")
    for form, request in example_requests(signature).items():
        text = _shortened(json.dumps(request))
        console.print(f"A request in the {form}, with made-up values:", style="bold")
        console.print(f"{text}\n", soft_wrap=True, markup=False, highlight=False)


def _files(path: str) -> dict[str, int]:
    """The bytes of the model's files by their names."""
    folder = os.path.dirname(path)
    try:
        return {n: os.path.getsize(os.path.join(folder, n)) for n in model_file.files_of(path)}
    except OSError as error:
        raise NotOptimized(
            f"{path} refers to external data in {error.filename}, which cannot be read"
            f" ({error.strerror}): put it there"
        ) from error


def _list(array: Array) -> list[Any]:
    """The elements as JSON takes them, with no more digits than their type has."""
    if array.dtype.kind not in "biuO":
        short = [float(str(element)) for element in array.ravel()]
        array = np.array(short, object).reshape(array.shape)
    return array.tolist()  # type: ignore[no-any-return]


def _run_once(path: str, signature: Signature) -> Outcome:
    once = Effort(rounds=1, runs=1, seconds=0)
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject("model", path, DEFAULT_OPTIONS)
        return measure([subject], sample_files.made_up(signature), once, folder)["model"]


def _manifest_problem(folder: str) -> str | None:
    try:
        with open(os.path.join(folder, MANIFEST_FILE)) as file:
            document = json.load(file)
        for part in ("original", "served"):
            check_files(document[part]["files"], folder, whole=True)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        return f"it is no manifest: {error!r}"
    except Mismatch as mismatch:
        return str(mismatch)
    return ""


def _serves(folder: str, name: str) -> str:
    """What ``manifest.served`` does here with a manifest whose files are all right."""
    with open(os.path.join(folder, MANIFEST_FILE), "rb") as file:
        text = file.read()
    try:
        promise = read_promise(text, name, on_cpu=True)
    except Mismatch as mismatch:
        return f"{name}: {mismatch}"
    return f"{name}: the manifest is of another model" if promise is None else promise.file


def _facts(inspection: Inspection) -> Table:
    timing = inspection.outcome.timing
    table = Table(box=None, show_header=False)
    table.add_row("file", inspection.path)
    for name, count in inspection.files.items():
        table.add_row("size" if name == os.path.basename(inspection.path) else f"+ {name}",
                      units.size(count))  # fmt: skip
    table.add_row("opsets", ", ".join(f"{d} {v}" for d, v in inspection.opsets.items()))
    table.add_row("ONNX IR version", str(inspection.ir_version))
    table.add_row("written by", inspection.producer or "–")
    for key, value in inspection.metadata.items():
        table.add_row(f"metadata {key}", _shortened(value))
    if timing is None:
        table.add_row(
            "memory, engine", f"it did not run on made-up input: {inspection.outcome.failure}"
        )
    else:
        table.add_row(
            "memory, measured", f"{units.size(timing.peak_bytes)} for a process that runs it once"
        )
        table.add_row("engine", timing.engine)
    if inspection.manifest is not None:
        table.add_row(MANIFEST_FILE, inspection.manifest or "every file is the one it was made for")
    if inspection.serves:
        table.add_row("serves here", inspection.serves)
    return table


def _specs(title: str, specs: Mapping[str, TensorSpec]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, show_header=False
    )
    for spec in specs.values():
        table.add_row(spec.name, str(spec).replace("[", "\\["), "optional" if spec.optional else "")
    return table


def _operators(operators: Counter[str]) -> Table:
    count = sum(operators.values())
    table = Table(title=f"{count} operators", title_justify="left", title_style="bold", box=None,
                  show_header=False)  # fmt: skip
    for name, times in operators.most_common():
        table.add_row(str(times), name)
    return table


def _operator(domain: str, name: str) -> str:
    return name if domain in ("", "ai.onnx") else f"{domain}.{name}"


def _shortened(text: str, length: int = 2000) -> str:
    return text if len(text) <= length else f"{text[:length]} … ({len(text)} characters)"
