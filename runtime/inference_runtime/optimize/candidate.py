"""A model that may be served, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite

from inference_runtime.engine.options import LoadOptions
from inference_runtime.optimize import lambda_cost, model_file, weight_places
from inference_runtime.optimize.measure import Subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.engine.weights import Weights
    from inference_runtime.optimize.accuracy import Accuracy
    from inference_runtime.optimize.measure import Timing

ORIGINAL: Final = "original"
# Times this close are equal on a machine with any noise.
NEAR: Final = 1.1


@dataclass
class Candidate:
    """A model that may be served, measured with its weights packed for faster runs and without.

    Attributes:
        name: of the recipe, or ``original``.
        path: its file.
        optimize_graph: whether onnxruntime optimises it at load.
        choosable: whether it may be served.
        lossy: whether its answers differ from the original's by more than rounding.
        this_processor: whether it is tied to this processor's instruction set.
        timing: with packed weights; ``None`` until measured, and where it failed.
        unpacked: without; ``None`` likewise, and where its answers may not be served.
        accuracy: against the original; ``None`` until measured, and where it failed.
        rejected: why it is not served; empty where it may be.
        size_bytes: of all its files.
        compressed_bytes: the same, deflated.
        weights: where they are, for an engine to map; ``None`` where it should not.
    """

    name: str
    path: str
    optimize_graph: bool = True
    choosable: bool = True
    lossy: bool = False
    this_processor: bool = False
    timing: Timing | None = None
    unpacked: Timing | None = None
    accuracy: Accuracy | None = None
    rejected: str = ""
    size_bytes: int = field(init=False)
    compressed_bytes: int = field(init=False)
    weights: Weights | None = field(init=False)

    def __post_init__(self) -> None:
        self.weights = None if self.optimize_graph else weight_places.find(self.path)
        self.size_bytes = model_file.size(self.path)
        self.compressed_bytes = model_file.compressed_size(self.path)

    @property
    def subjects(self) -> tuple[Subject, Subject]:
        """What is to be measured: packed, and not."""
        options = LoadOptions(optimize_graph=self.optimize_graph, weights=self.weights)
        return (
            Subject(self.name, self.path, options),
            Subject(f"{self.name}-unpacked", self.path, options.replace(prepack=False)),
        )

    @property
    def prepack(self) -> bool:
        """Whether packed weights make runs faster."""
        if self.timing is None or self.unpacked is None:
            return True
        return self.timing.run_ms * NEAR < self.unpacked.run_ms

    @property
    def unpacked_start(self) -> bool:
        """Whether the first answer comes sooner from weights that are not packed."""
        if self.timing is None or self.unpacked is None:
            return False
        return not self.prepack or self.unpacked.start_ms < self.timing.start_ms

    @property
    def start(self) -> Timing | None:
        """The timing that has the sooner first answer."""
        return self.unpacked if self.unpacked_start else self.timing

    @property
    def steady(self) -> Timing | None:
        """The timing that has the faster runs."""
        return self.timing if self.prepack else self.unpacked

    def instance_ms(self, calls: int) -> float:
        """The milliseconds of an instance's life: the first answer, and ``calls`` more of one row.

        Without a measurement it is infinite.
        """
        if self.start is None or self.steady is None:
            return inf
        return self.start.start_ms + calls * self.steady.run_ms

    def costs(self, threads: int) -> dict[int, float]:
        """US dollars for a million calls on Lambda by memory size; empty where not measured."""
        if self.steady is None:
            return {}
        return lambda_cost.cost_per_million(
            self.steady.latency_ms[1][50], self.steady.peak_bytes, threads
        )

    def figures(self, threads: int) -> dict[str, Any]:
        """All that is known, as JSON for the manifest."""
        figures: dict[str, Any] = {
            "name": self.name,
            "size_bytes": self.size_bytes,
            "compressed_bytes": self.compressed_bytes,
            "optimize_graph": self.optimize_graph,
            "prepack": self.prepack,
            "unpacked_start": self.unpacked_start,
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
        if self.unpacked is not None:
            figures["unpacked"] = {
                "load_ms": round(self.unpacked.load_ms, 3),
                "first_ms": round(self.unpacked.first_ms, 3),
                "p50_ms": round(self.unpacked.latency_ms[1][50], 4),
                "peak_bytes": self.unpacked.peak_bytes,
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
