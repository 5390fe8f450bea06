"""Candidates that compute the same function in fewer or better nodes."""

from __future__ import annotations

from inference_runtime.optimize import model_file
from inference_runtime.optimize.candidates.onnxruntime_tools import has_operator, optimize_graph
from inference_runtime.optimize.errors import DoesNotApply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.optimize.candidates.workshop import Workshop


def slim(workshop: Workshop, target: str) -> None:
    """Constants folded, needless nodes removed; standard operators only."""
    model_file.write(model_file.read(workshop.slimmed), target)


def graph(workshop: Workshop, target: str) -> None:
    """Optimised by onnxruntime as far as every CPU allows."""
    optimize_graph(workshop.original, target)


def fused(workshop: Workshop, target: str) -> None:
    """Slimmed, a transformer's parts fused, and then as ``graph``.

    Raises:
        DoesNotApply: there is nothing to fuse.
    """
    optimize_graph(workshop.fused, target)


def layout(workshop: Workshop, target: str) -> None:
    """As ``fused`` or ``graph``, with convolutions laid out for this processor's vectors.

    Raises:
        DoesNotApply: the model has no convolutions.
    """
    if not has_operator(model_file.read(workshop.base, weights=False), "Conv"):
        raise DoesNotApply("it has no convolutions to lay out")
    optimize_graph(workshop.base, target, this_processor=True)
