"""From a model and samples of its input to a folder with what serves best, and a report on why."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from inference_runtime.optimize import model_file, publication, source
from inference_runtime.optimize import samples as sample_files
from inference_runtime.optimize.candidate import ORIGINAL, Candidate
from inference_runtime.optimize.candidates import MAKERS
from inference_runtime.optimize.candidates.onnxruntime_tools import has_operator, to_ort_format
from inference_runtime.optimize.candidates.workshop import Workshop
from inference_runtime.optimize.choice import Tolerance, choose, judge
from inference_runtime.optimize.errors import DoesNotApply, NotOptimized
from inference_runtime.optimize.measure import Effort, measure
from inference_runtime.optimize.recipes import RECIPES
from inference_runtime.optimize.workspace import workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from inference_runtime.optimize.measure import Outcome
    from inference_runtime.optimize.recipes import Recipe
    from inference_runtime.optimize.samples import Samples

    class Progress(Protocol):
        """Is told what is going on."""

        def step(self, text: str, units: int = 0) -> None:
            """A step begins, of that many units; of unknown length when 0."""

        def advance(self, text: str) -> None:
            """A unit of the step begins."""


class Silent:
    """A ``Progress`` that tells nobody."""

    def step(self, text: str, units: int = 0) -> None:
        """Say nothing."""

    def advance(self, text: str) -> None:
        """Say nothing."""


@dataclass
class Task:
    """What to optimise, and how.

    Attributes:
        model: an ``.onnx`` file, or ``package.module:name`` of a torch module, of a fitted
            scikit-learn estimator, or of a class or function that makes one.
        output: the folder to write. It may exist if an earlier run wrote it.
        samples: a ``.npz`` or ``.json`` file; see ``optimize.samples``. Empty: lossy candidates
            are left out, as made-up input says nothing of what they lose.
        recipes: names in ``RECIPES``; empty for those that are made by default.
        tolerance: what may serve.
        effort: how long to measure.
        calls: that an instance answers in its life, which weighs its start against its speed.
        transformer: the kind of transformer that fusion looks for, as onnxruntime calls it.
        opset: of an export.
        axes: of an export: the names of dynamic axes by input; see ``source.to_onnx``.
    """

    model: str
    output: str
    samples: str = ""
    recipes: Sequence[str] = ()
    tolerance: Tolerance = field(default_factory=Tolerance)
    effort: Effort = field(default_factory=Effort)
    calls: int = 100
    transformer: str = "bert"
    opset: int = source.DEFAULT_OPSET
    axes: dict[str, Sequence[str]] = field(default_factory=dict)


@dataclass
class Result:
    """What was made, measured and chosen.

    Attributes:
        task: what was asked for.
        samples: what was measured on.
        candidates: all that were made, the original first.
        skipped: why others were not made, by name.
        variants: forms in which the chosen one may be loaded, as measured.
        chosen: of ``candidates``, the one that serves.
        served: of ``variants``, how it is loaded.
    """

    task: Task
    samples: Samples
    candidates: list[Candidate]
    skipped: dict[str, str]
    chosen: Candidate
    variants: list[Candidate]
    served: Candidate


def optimize(task: Task, progress: Progress | None = None) -> Result:
    """Make candidates, measure them, choose, and write the folder ``task.output``.

    The folder holds ``model.onnx``, the original; ``optimized.onnx`` or ``optimized.ort``, what
    serves in its place; ``manifest.json``, by which the runtime does so; and ``report.svg``.
    It appears whole or not at all.

    Raises:
        NotOptimized: the model or the samples cannot be read, the model does not run, or the
            folder cannot be written.

    Example:
        >>> task = Task("digits.onnx", "build/digits", samples="samples.json")
        >>> optimize(task).chosen.name  # doctest: +SKIP
        'graph'
    """
    progress = progress or Silent()
    publication.check_target(task.output, task.model)
    # Beside the output, where there is room for models, and from where it can be renamed.
    parent = os.path.dirname(os.path.abspath(task.output))
    try:
        os.makedirs(parent, exist_ok=True)
        with workspace(parent) as folder:
            return _optimize(task, folder, progress)
    except OSError as error:
        raise NotOptimized(
            f"{task.output} cannot be written: {error}; give another --output"
        ) from error


def _optimize(task: Task, folder: str, progress: Progress) -> Result:
    """Everything in ``folder``, and then the rename to the output."""
    progress.step("Reading the model")
    path = source.to_onnx(task.model, task.samples, folder, task.opset, task.axes)
    signature = model_file.signature(model_file.read(path, weights=False))
    samples = (
        sample_files.read(task.samples, signature)
        if task.samples
        else sample_files.made_up(signature)
    )
    original = _original(path, folder)
    made, skipped = _make(task, original.path, samples, folder, progress)
    candidates = [original, *made]
    reference = _measure(candidates, samples, task, folder, progress)
    chosen = choose(candidates, task.calls)
    variants = _variants(chosen, folder)
    served = _tune(variants, reference, samples, task, folder, progress)
    result = Result(task, samples, candidates, skipped, chosen, variants, served)
    progress.step(f"Writing {task.output}")
    publication.publish(result, original.path, _new_folder(folder, "output"))
    return result


def _original(path: str, folder: str) -> Candidate:
    """The model as it will be served where the manifest does not hold: large weights beside it."""
    place = os.path.join(folder, "original")
    os.mkdir(place)
    copy = os.path.join(place, publication.MODEL_FILE)
    model_file.write(model_file.read(path), copy)
    return Candidate(ORIGINAL, copy)


def _make(
    task: Task, original: str, samples: Samples, folder: str, progress: Progress
) -> tuple[list[Candidate], dict[str, str]]:
    workshop = Workshop(original, _new_folder(folder, "workshop"), samples, task.transformer)
    recipes = [RECIPES[name] for name in RECIPES if name in task.recipes] or [
        recipe for recipe in RECIPES.values() if recipe.by_default
    ]
    made, skipped = [], {}
    progress.step("Making candidates", len(recipes))
    for recipe in recipes:
        progress.advance(recipe.name)
        if recipe.lossy and not samples.given:
            skipped[recipe.name] = "it needs --samples: made-up input hides what it loses"
            continue
        try:
            made.append(_candidate(recipe, workshop, _new_folder(folder, recipe.name)))
        except DoesNotApply as reason:
            skipped[recipe.name] = str(reason)
        except NotOptimized:
            raise
        except Exception as error:  # the tools of others raise whatever they like
            skipped[recipe.name] = f"{type(error).__name__}: {str(error).strip()[:200]}"
    return made, skipped


def _candidate(recipe: Recipe, workshop: Workshop, folder: str) -> Candidate:
    path = os.path.join(folder, publication.OPTIMIZED_FILE)
    MAKERS[recipe.name](workshop, path)
    _check_signature(path, workshop.original)
    return Candidate(
        recipe.name, path, _optimize_at_load(path, recipe),
        recipe.choosable, recipe.lossy, recipe.this_processor,
    )  # fmt: skip


def _check_signature(path: str, original: str) -> None:
    ours, theirs = (_names_and_types(file) for file in (original, path))
    if ours != theirs:
        raise DoesNotApply(f"its inputs and outputs would be {theirs} instead of {ours}")


def _names_and_types(path: str) -> list[tuple[str, str]]:
    signature = model_file.signature(model_file.read(path, weights=False))
    specs = [*signature.inputs.values(), *signature.outputs.values()]
    return [(spec.name, spec.datatype.name) for spec in specs]


def _optimize_at_load(path: str, recipe: Recipe) -> bool:
    """Whether onnxruntime has something left to optimise: standard operators, convolutions."""
    convolutions = has_operator(model_file.read(path, weights=False), "Conv")
    return recipe.name == "slim" or (convolutions and not recipe.this_processor)


def _measure(
    candidates: list[Candidate], samples: Samples, task: Task, folder: str, progress: Progress
) -> Outcome:
    outcomes = _outcomes("Measuring", candidates, samples, task, folder, progress)
    original = outcomes[ORIGINAL]
    if original.timing is None:
        hint = "" if samples.given else "; its input was made up: give real input with --samples"
        raise NotOptimized(f"the model itself cannot run: {original.failure}{hint}")
    judge(candidates, outcomes, original, task.tolerance)
    return original


def _variants(chosen: Candidate, folder: str) -> list[Candidate]:
    """The forms in which the chosen candidate may be loaded; that of before is the first."""
    ort = os.path.join(_new_folder(folder, "ort"), publication.OPTIMIZED_ORT_FILE)
    to_ort_format(chosen.path, ort)
    forms = [("ONNX", chosen.path, False), ("ORT format", ort, False)]
    if chosen.optimize_graph:
        forms.insert(0, ("ONNX, optimised at load", chosen.path, True))
    return [
        Candidate(name, path, optimize, this_processor=chosen.this_processor)
        for name, path, optimize in forms
    ]


def _tune(
    variants: list[Candidate],
    reference: Outcome,
    samples: Samples,
    task: Task,
    folder: str,
    progress: Progress,
) -> Candidate:
    tuning = _new_folder(folder, "tuning")
    outcomes = _outcomes("Measuring forms", variants, samples, task, tuning, progress)
    judge(variants, outcomes, reference, task.tolerance)
    return choose(variants, task.calls)


def _outcomes(
    text: str,
    candidates: list[Candidate],
    samples: Samples,
    task: Task,
    folder: str,
    progress: Progress,
) -> dict[str, Outcome]:
    subjects = [subject for candidate in candidates for subject in candidate.subjects]
    progress.step(text, len(subjects) * task.effort.rounds)
    return measure(subjects, samples, task.effort, folder, progress.advance)


def _new_folder(parent: str, name: str) -> str:
    path = os.path.join(parent, name)
    os.mkdir(path)
    return path
