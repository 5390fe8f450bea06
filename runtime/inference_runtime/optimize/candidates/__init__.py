"""What makes candidates: for each recipe, a function from a workshop to the candidate's file."""

from __future__ import annotations

from inference_runtime.optimize.candidates import graphs, precision, pruning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from inference_runtime.optimize.candidates.workshop import Workshop

# By recipe's name. Each raises `DoesNotApply` where it has nothing to do.
MAKERS: Final[dict[str, Callable[[Workshop, str], None]]] = {
    "slim": graphs.slim,
    "graph": graphs.graph,
    "fused": graphs.fused,
    "layout": graphs.layout,
    "fp16": precision.fp16,
    "int8-dynamic": precision.int8_dynamic,
    "int8-static": precision.int8_static,
    "int4": precision.int4,
    "pruned": pruning.pruned,
}
