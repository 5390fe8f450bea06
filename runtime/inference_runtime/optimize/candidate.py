"""A model that may be served, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite

from inference_runtime.engine.options import LoadOptions
from inference_runtime.optimize import lambda_cost, model_file
from inference_runtime.optimize.measure import Subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.optimize.accuracy import Accuracy
    from inference_runtime.optimize.measure import Timing

ORIGINAL: Final = "original"


@dataclass
class Candidate:
    """A model that may be served.

    Attributes:
        name: of the recipe, or ``original``.
        path: its file.
        options: how it is loaded.
        choosable: whether it may be served.
        this_processor: whether it is tied to this processor's instruction set.
        timing: as measured; ``None`` until then, and where it failed.
        accuracy: against the original; ``None`` until measured, and where it failed.
        rejected: why it is not served; empty where it may be.
        size_bytes: of all its files.
        compressed_bytes: the same, deflated.
    """

    name: str
    path: str
    options: LoadOptions
    choosable: bool = True
    this_processor: bool = False
    timing: Timing | None = None
    accuracy: Accuracy | None = None
    rejected: str = ""
    size_bytes: int = field(init=False)
    compressed_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.size_bytes = model_file.size(self.path)
        self.compressed_bytes = model_file.compressed_size(self.path)

    @property
    def subject(self) -> Subject:
        """What is to be measured."""
        return Subject(self.name, self.path, self.options)

    def costs(self, threads: int) -> dict[int, float]:
        """US dollars for a million calls on Lambda by memory size; empty where not measured."""
        if self.timing is None:
            return {}
        return lambda_cost.cost_per_million(
            self.timing.latency_ms[1][50], self.timing.peak_bytes, threads
        )

    def figures(self, threads: int) -> dict[str, Any]:
        """All that is known, as JSON for the manifest."""
        figures: dict[str, Any] = {
            "name": self.name,
            "size_bytes": self.size_bytes,
            "compressed_bytes": self.compressed_bytes,
            "optimize_graph": self.options.optimize_graph,
            "prepack": self.options.prepack,
            "rejected": self.rejected,
        }
        if self.timing is not None:
            figures |= {
                "load_ms": round(self.timing.load_ms, 3),
                "first_ms": round(self.timing.first_ms, 3),
                "latency_ms": {
                    str(rows): {f"p{p}": round(ms, 4) for p, ms in percentiles.items()}
                    for rows, percentiles in self.timing.latency_ms.items()
                },
                "peak_bytes": self.timing.peak_bytes,
                "lambda_usd_per_million_calls": {
                    str(memory): cost for memory, cost in self.costs(threads).items()
                },
            }
        if self.accuracy is not None:
            figures |= {
                "max_error": _json_number(self.accuracy.max_error),
                "mean_error": _json_number(self.accuracy.mean_error),
                "agreement": self.accuracy.agreement,
            }
        return figures


def _json_number(value: float) -> float | str:
    """JSON has no infinity; ProtoJSON's spelling is that of the runtime's answers too."""
    return value if isfinite(value) else "Infinity"
