"""What runs a model. Codecs and service know this interface only, never an engine by name."""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from inference_runtime.signature import Signature
    from inference_runtime.tensor import Tensor

    class Engine(Protocol):
        """One loaded model, safe to run from several threads.

        Attributes:
            signature: what the model takes and gives.
        """

        signature: Signature

        def run(
            self,
            inputs: Mapping[str, Tensor],
            outputs: Sequence[str],
            cancellation: Cancellation | None = None,
        ) -> dict[str, Tensor]:
            """Run the model once.

            Args:
                inputs: tensors that fit ``signature``.
                outputs: the names to compute, in the order of the answer.
                cancellation: ends the run from another thread.

            Raises:
                InvalidInput: the model refuses what the signature allows: an index out of
                    bounds, for example.
                DeadlineExceeded: the run was cancelled.
                ModelFailed: the model could not run.
            """


class Cancellation:
    """Ends one run from another thread: the engine attaches, the host cancels, in either order.

    Attributes:
        cancelled: whether ``cancel`` was called.
    """

    __slots__ = ("_lock", "_terminate", "cancelled")

    def __init__(self) -> None:
        self._lock = Lock()
        self._terminate: Callable[[], None] | None = None
        self.cancelled = False

    def attach(self, terminate: Callable[[], None]) -> None:
        """Have ``terminate`` called when the run is cancelled; at once if it already was."""
        with self._lock:
            self._terminate = terminate
            if self.cancelled:
                terminate()

    def detach(self) -> None:
        """Forget ``terminate``: the run is over, and what it would end may be gone."""
        with self._lock:
            self._terminate = None

    def cancel(self) -> None:
        """End the run."""
        with self._lock:
            self.cancelled = True
            if self._terminate is not None:
                self._terminate()
