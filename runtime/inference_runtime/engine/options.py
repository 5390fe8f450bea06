"""What every engine asks of onnxruntime, so that both run the same graph in the same way."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.engine.weights import Weights

# Threads spin within a run, for they wait microseconds there, and not after it: that would burn the
# quota of a shared vCPU. https://onnxruntime.ai/docs/performance/tune-performance/threading.html
SESSION_CONFIG: Final = {
    "session.force_spinning_stop": "1",
    "session.inter_op.allow_spinning": "0",
}
INTER_OP_THREADS: Final = 1
# onnxruntime's severities. Its lines are no JSON. Nobody can act on its warnings; and what fails in
# a run it returns, too, so that the line of the request tells it, or the traceback beside that.
LOG_ERRORS: Final = 3
LOG_OF_RUNS: Final = 4  # what is fatal
ORT_SUFFIX: Final = ".ort"  # of files in onnxruntime's own format
_DISABLE_ALL, _ENABLE_EXTENDED, _ENABLE_ALL = 0, 2, 99  # GraphOptimizationLevel


class LoadOptions:
    """How a session is made of a model's file. What was done at build time need not be done again.

    Attributes:
        optimize_graph: whether onnxruntime optimises the graph.
        layout: whether that lays convolutions out for this processor, too: faster runs, and a
            slower start with another copy of their weights.
        prepack: whether it lays the weights out anew for its kernels: a slower start with a copy in
            memory, and faster runs, by how much depends on the model.
        arena: whether it keeps the memory of one run for the next.
        weights: of the graph, for an engine that maps them itself. Not for a graph that is
            optimised at load, which may have other weights then, under the same names.
    """

    __slots__ = ("arena", "layout", "optimize_graph", "prepack", "weights")

    def __init__(
        self,
        *,
        optimize_graph: bool = True,
        layout: bool = True,
        prepack: bool = True,
        arena: bool = True,
        weights: Weights | None = None,
    ) -> None:
        self.optimize_graph = optimize_graph
        self.layout = layout
        self.prepack = prepack
        self.arena = arena
        self.weights = weights

    def replace(self, **changes: bool) -> LoadOptions:
        """These options with some changed."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return LoadOptions(**kept | changes)

    @property
    def graph_level(self) -> int:
        """onnxruntime's ``GraphOptimizationLevel``."""
        if not self.optimize_graph:
            return _DISABLE_ALL
        return _ENABLE_ALL if self.layout else _ENABLE_EXTENDED

    @property
    def session_config(self) -> dict[str, str]:
        """The session's configuration entries, ``SESSION_CONFIG`` among them."""
        return SESSION_CONFIG | ({} if self.prepack else {"session.disable_prepacking": "1"})


DEFAULT_OPTIONS: Final = LoadOptions()


def disable_telemetry() -> None:
    """Keep onnxruntime from reporting to its maker. Call it before the library is loaded.

    From 1.29 on, the Linux builds send model and machine details over the network and keep a
    database in the home folder, unless this variable says otherwise when they initialise
    (https://github.com/microsoft/onnxruntime/pull/27379).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
