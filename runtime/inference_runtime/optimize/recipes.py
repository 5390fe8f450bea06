"""The ways to make a candidate: one table. What makes them is in ``candidates``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Recipe:
    """One way to make a candidate.

    Attributes:
        name: on the command line, in the report and in the manifest.
        summary: what it does, for the help.
        lossy: whether it changes answers by more than rounding, so that only samples can judge it.
        choosable: whether it may be served; what is only there to be looked at may not.
        by_default: whether it is made when nobody asks for candidates by name.
        this_processor: whether it serves on processors with this one's instruction set only.
    """

    __slots__ = ("by_default", "choosable", "lossy", "name", "summary", "this_processor")

    def __init__(
        self,
        name: str,
        summary: str,
        *,
        lossy: bool = False,
        choosable: bool = True,
        by_default: bool = True,
        this_processor: bool = False,
    ) -> None:
        self.name = name
        self.summary = summary
        self.lossy = lossy
        self.choosable = choosable
        self.by_default = by_default
        self.this_processor = this_processor


# From the safest to the least safe.
RECIPES: Final = {
    recipe.name: recipe
    for recipe in (
        Recipe("slim", "onnxslim: constants folded, needless nodes removed"),
        Recipe("graph", "onnxruntime's optimisations that are the same on every CPU (EXTENDED)"),
        Recipe("fused", "attention, GELU and layer norms of a transformer fused; then as graph"),
        Recipe(
            "layout",
            "as graph, and convolutions laid out for this processor; on others the original"
            " serves. Only when asked for",
            by_default=False,
            this_processor=True,
        ),
        Recipe("fp16", "weights and arithmetic in 16-bit floats", lossy=True),
        Recipe("int8-dynamic", "weights in 8 bits, activations as they come", lossy=True),
        Recipe("int8-static", "both in 8 bits, with the ranges that the samples show", lossy=True),
        Recipe("int4", "weights of matrix products in 4 bits (MatMulNBits)", lossy=True),
        Recipe(
            "pruned",
            "half of the weights set to zero, to look at and never to serve: onnxruntime computes"
            " zeros in the same time and memory, so only a compressed download gets smaller. Only"
            " when asked for",
            lossy=True,
            choosable=False,
            by_default=False,
        ),
    )
}
