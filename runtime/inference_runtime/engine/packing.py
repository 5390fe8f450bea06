"""Answer first, pack afterwards."""

from __future__ import annotations

from threading import Lock, Timer
from time import perf_counter

from inference_runtime.telemetry import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from inference_runtime.engine import Cancellation, Engine
    from inference_runtime.tensor import Tensor

# The first answer is on its way by then, and gets the processor for itself.
DELAY_SECONDS: Final = 0.1


class PackAfterwards:
    """An engine whose weights are packed in the background after its first run.

    Packed weights make runs faster and the load slower. The other engine takes over between two
    runs; where it cannot be made, this one goes on, and the log says why.

    Args:
        engine: that answers until then.
        load_packed: makes the one that answers from then on.

    Attributes:
        signature: of both.
    """

    def __init__(self, engine: Engine, load_packed: Callable[[], Engine]) -> None:
        self.signature = engine.signature
        self._engine = engine
        self._load_packed = load_packed
        self._first = Lock()  # whoever gets it has the first run; nobody gives it back

    def run(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        cancellation: Cancellation | None = None,
    ) -> dict[str, Tensor]:
        """Run the model once; see ``Engine.run``."""
        answers = self._engine.run(inputs, outputs, cancellation)
        if self._first.acquire(blocking=False):
            timer = Timer(DELAY_SECONDS, self._pack)
            timer.daemon = True
            timer.start()
        return answers

    def _pack(self) -> None:
        start = perf_counter()
        try:
            self._engine = self._load_packed()
        except Exception as error:  # nobody waits for this thread
            log("WARNING", "weights stay unpacked", detail=str(error))
        else:
            log("INFO", "weights packed", pack_ms=round((perf_counter() - start) * 1000, 3))
