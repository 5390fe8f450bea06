"""``inference-runtime optimize``: a smaller and faster model, measured to answer alike."""

from __future__ import annotations

import argparse
import signal
import textwrap
from contextlib import suppress

from inference_runtime.errors import InvalidSettings
from inference_runtime.optimize.recipes import RECIPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from inference_runtime.optimize.pipeline import Task

_DESCRIPTION = """\
Make candidates from a model, measure each in fresh processes on your samples, and write the one
that serves best beside the original, with a manifest by which the runtime takes it.

  inference-runtime optimize digits.onnx --samples samples.json --output build/digits
  inference-runtime serve --model build/digits/model.onnx

MODEL is an ONNX file, or package.module:name of a PyTorch module, of a fitted scikit-learn
estimator, or of a class or function that makes one; those are exported first.

SAMPLES are real inputs, a hundred or more where you can: a .npz with an array for each input, or a
.json with requests as the runtime reads them: {"features": [[…], …]} or {"inputs": {…}}, or a list
of those, or of rows by input name. Without samples, candidates that change answers are left out:
random input hides what they lose.
"""

_EPILOG = """\
candidates:
{candidates}

how one is chosen:
  A candidate may serve if on your samples its answers are within --max-error and --min-agreement of
  the original's. Of those, the one with the least time for an instance that starts, loads and
  answers --calls calls is taken; the safer one where two are within 10 %.

what is written to --output, whole or not at all:
  model.onnx       the original, which serves wherever the manifest does not hold
  optimized.onnx   what serves instead (or optimized.ort); large weights are in files beside
  manifest.json    digests, versions, how to load, and every figure
  report.svg       the figures as a picture
"""


def add(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the sub-command to the parser."""
    parser = subparsers.add_parser(
        "optimize",
        help="make a model smaller and faster, and measure that it answers alike",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(candidates=_candidates()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("model", metavar="MODEL", help="an .onnx file, or package.module:name")
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="what to write")
    parser.add_argument("--samples", metavar="FILE", default="", help="real input: .npz or .json")
    parser.add_argument(
        "--candidates",
        metavar="NAMES",
        type=_names,
        default=(),
        help="which to make, separated by commas; default: all that are not 'only when asked for'",
    )
    gate = parser.add_argument_group("what may serve")
    gate.add_argument(
        "--max-error",
        metavar="SHARE",
        type=_share,
        default=0.01,
        help="largest error of any output, as a share of that output's largest value; default:"
        " %(default)s",
    )
    gate.add_argument(
        "--min-agreement",
        metavar="SHARE",
        type=_share,
        default=0.99,
        help="share of rows with the same top-1; default: %(default)s",
    )
    gate.add_argument(
        "--calls",
        metavar="N",
        type=_count,
        default=100,
        help="that an instance answers in its life: more favour speed over the start; default:"
        " %(default)s",
    )
    effort = parser.add_argument_group("how long to measure")
    effort.add_argument(
        "--rounds",
        metavar="N",
        type=_count,
        default=3,
        help="fresh processes for each candidate, in turns; default: %(default)s",
    )
    effort.add_argument(
        "--runs",
        metavar="N",
        type=_count,
        default=100,
        help="of each batch size in each process, for at most a second; default: %(default)s",
    )
    effort.add_argument(
        "--threads",
        metavar="N",
        type=_count,
        default=1,
        help="of one run; Lambda below 3,538 MB has processor time for one; default: %(default)s",
    )
    export = parser.add_argument_group("exports and transformers")
    export.add_argument(
        "--opset",
        metavar="N",
        type=_count,
        default=18,
        help="version of ONNX's operators in an export; default: %(default)s",
    )
    export.add_argument(
        "--dynamic-axes",
        metavar="INPUT=AXIS,…",
        type=_axes,
        nargs="+",
        default=[],
        help="names of a torch module's axes of any size, '-' for a fixed one, as in"
        " input_ids=batch,sequence; default: the first axis of each input",
    )
    export.add_argument(
        "--transformer", metavar="KIND", default="bert",
        help="what fusion looks for, as onnxruntime.transformers names it: bert (any encoder),"
        " gpt2, vit, clip, t5, …; default: %(default)s",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Optimise, with progress on standard error and the report on standard output.

    Raises:
        InvalidSettings: the extra ``optimize`` is not installed.
        NotOptimized: the model cannot be optimised as asked.
    """
    try:
        from rich.console import Console

        from inference_runtime.optimize import pipeline, report
        from inference_runtime.optimize.progress import Bar
    except ImportError as error:
        raise InvalidSettings(
            f"{error}; `optimize` needs an extra: pip install 'inference-runtime[optimize]'"
        ) from error
    # So that what is half-written is removed then, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Bar(Console(stderr=True)) as progress:
        result = pipeline.optimize(_task(arguments), progress)
    report.show(result, Console())


def _task(arguments: argparse.Namespace) -> Task:
    from inference_runtime.optimize.choice import Tolerance
    from inference_runtime.optimize.measure import Effort
    from inference_runtime.optimize.pipeline import Task

    return Task(
        arguments.model,
        arguments.output,
        samples=arguments.samples,
        recipes=arguments.candidates,
        tolerance=Tolerance(arguments.max_error, arguments.min_agreement),
        effort=Effort(arguments.rounds, arguments.runs, threads=arguments.threads),
        calls=arguments.calls,
        transformer=arguments.transformer,
        opset=arguments.opset,
        axes=dict(arguments.dynamic_axes),
    )


def _candidates() -> str:
    return "\n".join(
        textwrap.fill(
            recipe.summary, 98, initial_indent=f"  {recipe.name:14}", subsequent_indent=" " * 16
        )
        for recipe in RECIPES.values()
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in RECIPES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(RECIPES)}")
    return names


def _share(text: str) -> float:
    with suppress(ValueError):
        share = float(text)
        if 0 <= share <= 1:
            return share
    raise argparse.ArgumentTypeError(f"{text} is no number from 0 to 1")


def _count(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is no whole number from 1")


def _axes(text: str) -> tuple[str, list[str]]:
    name, equals, axes = text.partition("=")
    if not name or not equals or not axes:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form input=axis,axis")
    return name, axes.split(",")
