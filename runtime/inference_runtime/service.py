"""A loaded model: named tensors in, checked, and named tensors out. No bytes and no platform."""

from __future__ import annotations

from math import prod

from inference_runtime.tensor import BYTES, Tensor, pack_elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference_runtime.engine import Cancellation, Engine
    from inference_runtime.models import ModelFiles
    from inference_runtime.signature import TensorSpec


class InferenceService:
    """A loaded model.

    Args:
        engine: what runs it.
        files: of the model. The cache keeps them while this object lives.

    Attributes:
        signature: what the model takes and gives.
    """

    def __init__(self, engine: Engine, files: ModelFiles | None = None) -> None:
        self.signature = engine.signature
        self._engine = engine
        self._all_outputs = tuple(engine.signature.outputs)
        self._files = files

    @property
    def size(self) -> int:
        """Bytes of the model's files; 0 where they are not known."""
        return self._files.size if self._files is not None else 0

    def infer(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str] = (),
        cancellation: Cancellation | None = None,
    ) -> dict[str, Tensor]:
        """Run the model once.

        Args:
            inputs: its input tensors by name.
            outputs: the outputs to compute; all of them, in the model's order, when empty.
            cancellation: ends the run from another thread.

        Raises:
            InvalidInput: the tensors do not fit the signature, or the model refuses them.
            BaseException: the ``cancellation``'s reason, when it was cancelled.
            ModelFailed: the model could not run.
        """
        self.signature.check_inputs(inputs)
        if outputs:
            self.signature.check_outputs(outputs)
        return self._engine.run(inputs, outputs or self._all_outputs, cancellation)

    def warm_up(self) -> None:
        """Run the model once on zeros, with every dynamic dimension 1.

        The first run of a session allocates and initialises; after this, no caller pays for it.

        Raises:
            InferenceError: the model refuses zeros of that shape. It may still serve real inputs.
        """
        required = [spec for spec in self.signature.inputs.values() if not spec.optional]
        self.infer({spec.name: _zeros(spec) for spec in required})


def _zeros(spec: TensorSpec) -> Tensor:
    shape = spec.sizes()
    count = prod(shape)
    if spec.datatype is BYTES:
        return Tensor(BYTES, shape, pack_elements([b""] * count))
    return Tensor(spec.datatype, shape, bytes(count * spec.datatype.itemsize))
