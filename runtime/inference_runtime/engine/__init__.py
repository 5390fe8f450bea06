"""What runs a model. Codecs and service know this interface only, never an engine by name."""

from __future__ import annotations

from _thread import allocate_lock

from inference_runtime.errors import DeadlineExceeded

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
                BaseException: the ``cancellation``'s reason, when it was cancelled.
                ModelFailed: the model could not run.
            """


class Cancellation:
    """Ends one run from another thread: the engine attaches, the host cancels, in either order.

    Attributes:
        reason: what the ended run raises; ``None`` until ``cancel`` is called.
    """

    __slots__ = ("_lock", "_terminate", "reason")

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._terminate: Callable[[], None] | None = None
        self.reason: BaseException | None = None

    def attach(self, terminate: Callable[[], None]) -> None:
        """Have ``terminate`` called when the run is cancelled; at once if it already was."""
        with self._lock:
            self._terminate = terminate
            if self.reason is not None:
                terminate()

    def detach(self) -> None:
        """Forget ``terminate``: the run is over, and what it would end may be gone."""
        with self._lock:
            self._terminate = None

    def cancel(self, reason: BaseException | None = None) -> None:
        """End the run.

        Args:
            reason: what the run is to raise; by default that its deadline has passed. Only the
                first counts.
        """
        with self._lock:
            self.reason = (
                self.reason
                or reason
                or DeadlineExceeded("the run took longer than its deadline and was ended")
            )
            if self._terminate is not None:
                self._terminate()
