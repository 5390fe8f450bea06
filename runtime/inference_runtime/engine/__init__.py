"""What runs a model. Codecs and service know this interface only, never an engine by name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from inference_runtime.signature import Signature
    from inference_runtime.tensor import Tensor

    class Engine(Protocol):
        """One loaded model, safe to run from several threads.

        Attributes:
            signature: what the model takes and gives.
        """

        signature: Signature

        def run(self, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
            """Run the model once.

            Args:
                inputs: tensors that fit ``signature``.
                outputs: the names to compute, in the order of the answer.

            Raises:
                InvalidInput: the model refuses what the signature allows: an index out of
                    bounds, for example.
                ModelFailed: the model could not run.
            """
