"""Runs with bound inputs and outputs: for a GPU, and for what numpy does not have."""

from __future__ import annotations

from ctypes import string_at

import numpy as np
import onnxruntime as ort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from inference_runtime.arrays import Array

# What the text of each failed run begins with: onnxruntime raises it without its own code.
FAILED_RUN: Final = "Error in execution: "

_BFLOAT16: Final = "tensor(bfloat16)"
_ONNX_BFLOAT16: Final = 16


def obstacle(session: ort.InferenceSession) -> str:
    """What of a model cannot be bound; empty if all can be.

    Example:
        >>> obstacle(session)  # doctest: +SKIP
        "onnxruntime binds no strings, as its input 'text' has them"
    """
    for node in (*session.get_inputs(), *session.get_overridable_initializers()):
        if node.type == "tensor(string)":
            return f"onnxruntime binds no strings, as its input {node.name!r} has them"
    for node in session.get_outputs():
        if not node.type.startswith("tensor("):
            return f"only tensors can be read when bound, and its output {node.name!r} is none"
    return ""


class BoundSession:
    """A session whose runs bind what goes in and what comes out, each run for itself.

    An input is bound where it lies, and onnxruntime takes it from there to the device that its
    nodes run on. An output is bound to the CPU, where onnxruntime makes it as large as it gets.
    Neither is copied in the CPU's memory.

    Nothing is synchronized beside the run, which ends when its outputs are there: ``IOBinding``'s
    own ``synchronize_…`` wait for all that the device has to do, also for other requests.

    Args:
        session: of a model without an ``obstacle``.

    Example:
        >>> BoundSession(session).run(["y"], {"x": x}, ort.RunOptions())  # doctest: +SKIP
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        inputs = (*session.get_inputs(), *session.get_overridable_initializers())
        self._session = session
        self._bfloat16 = {node.name for node in inputs if node.type == _BFLOAT16}

    def run(
        self, names: Sequence[str], feed: Mapping[str, Array], options: ort.RunOptions
    ) -> list[Array]:
        """As onnxruntime's own ``run``, but that bfloat16 goes in and comes out as its bits.

        Raises:
            Exception: the run failed; its text begins with ``FAILED_RUN``, or it could not begin.
        """
        binding = self._session.io_binding()
        # The binding knows addresses only: these hold what is there until the run is over.
        values = {name: self._value(name, array) for name, array in feed.items()}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        for name in names:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding, options)
        arrays = [_array(value) for value in binding.get_outputs()]
        # A model may give an input back, in the caller's own memory then.
        return [
            array.copy() if name in feed else array
            for name, array in zip(names, arrays, strict=True)
        ]

    def _value(self, name: str, array: Array) -> ort.OrtValue:
        if name in self._bfloat16:
            return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, _ONNX_BFLOAT16)
        return ort.OrtValue.ortvalue_from_numpy(array)


def _array(value: ort.OrtValue) -> Array:
    if value.data_type() != _BFLOAT16:
        array: Array = value.numpy()
        return array
    data = string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(data, "<u2").reshape(value.shape())
