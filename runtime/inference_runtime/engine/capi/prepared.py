"""Runs whose values are kept for the next of the same form.

To make a small model's inputs and outputs anew, a dozen calls of the library, takes twice as long
as its run.
"""

from __future__ import annotations

from ctypes import byref, c_char, c_void_p, sizeof

from inference_runtime.engine.capi.library import Handle
from inference_runtime.engine.capi.values import c_names, point, run_options
from inference_runtime.tensor import BYTES, Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from inference_runtime.engine import Cancellation
    from inference_runtime.engine.capi.library import Library

    Tensors = Mapping[str, Tensor]
    # The inputs' names and shapes, and the outputs' names.
    Form = tuple[tuple[str, ...], tuple[tuple[int, ...], ...], tuple[str, ...]]
    Make = Callable[[Tensors, Tensors], "PreparedRun"]

# In inputs and outputs together, and seconds of a run: beyond these there is little to win.
MOST_BYTES: Final = 65_536
MOST_SECONDS: Final = 0.001
# Runs of one form before it is worth the trouble. A warm-up is one.
TIMES_BEFORE: Final = 3
# What is kept: forms, runs of each for as many threads, and runs of a form that failed for having
# other shapes this time.
MOST_FORMS: Final = 32
_MOST_OF_A_FORM: Final = 8
_MOST_FAILURES: Final = 3
_MOST_COUNTED: Final = 1024
_NEVER: Final = -1


def form_of(inputs: Tensors, outputs: Sequence[str]) -> Form:
    """What runs have in common that can share their values."""
    return tuple(inputs), tuple([tensor.shape for tensor in inputs.values()]), tuple(outputs)


class PreparedRun:
    """Inputs and outputs in memory of their own, and a call over them. For one thread at a time.

    Args:
        library: of the session.
        session: runs the model.
        memory: where values are.
        inputs: of the shapes that each run has.
        outputs: their answer.
    """

    def __init__(
        self, library: Library, session: Handle, memory: Handle, inputs: Tensors, outputs: Tensors
    ) -> None:
        tensors = [*inputs.values(), *outputs.values()]
        values = (c_void_p * len(tensors))()
        buffers = [(c_char * tensor.buffer.nbytes)() for tensor in tensors]
        for index, (tensor, buffer) in enumerate(zip(tensors, buffers, strict=True)):
            point(library, memory, tensor, buffer, byref(values, index * sizeof(c_void_p)))
        self._kept = [Handle(value or 0, library.ReleaseValue) for value in values]
        self._kept += [session, memory]
        self._options = run_options(library)
        self._terminate = library.RunOptionsSetTerminate
        self._run = library.Run
        self._arguments = (
            c_void_p(session.pointer), c_void_p(self._options.pointer),
            c_names(tuple(inputs)), values, len(inputs),
            c_names(tuple(outputs)), len(outputs), byref(values, len(inputs) * sizeof(c_void_p)),
        )  # fmt: skip
        self._places = [memoryview(buffer).cast("B") for buffer in buffers[: len(inputs)]]
        self._results = [
            (name, tensor, buffer)
            for (name, tensor), buffer in zip(outputs.items(), buffers[len(inputs) :], strict=True)
        ]

    def run(self, inputs: Tensors, cancellation: Cancellation | None) -> dict[str, Tensor]:
        """Run the model on ``inputs``.

        Raises:
            OrtFailure: the model refuses them, or its outputs would be of other shapes.
        """
        for place, tensor in zip(self._places, inputs.values(), strict=True):
            place[:] = tensor.buffer
        if cancellation is None:
            self._run(*self._arguments)
        else:
            cancellation.attach(self.terminate)
            try:
                self._run(*self._arguments)
            finally:
                cancellation.detach()
        return {
            name: Tensor(like.datatype, like.shape, buffer.raw, like.labels)
            for name, like, buffer in self._results
        }

    def terminate(self) -> None:
        """End the run that is going on, and any other of this object."""
        self._terminate(self._options)


class PreparedRuns:
    """Those of one session, by their form, from several threads: none has what another uses.

    Args:
        make: prepares one, from inputs and what came of them.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self._idle: dict[Form, list[PreparedRun]] = {}
        self._times: dict[Form, int] = {}
        self._failures: dict[Form, int] = {}

    def take(self, form: Form) -> PreparedRun | None:
        """One that nobody uses, if there is one."""
        idle = self._idle.get(form)
        return idle.pop() if idle else None

    def put_back(self, form: Form, prepared: PreparedRun) -> None:
        """Have it used again, after a run that went well."""
        idle = self._idle.get(form)
        if idle is not None:
            idle.append(prepared)

    def learn(self, form: Form, inputs: Tensors, outputs: Tensors, seconds: float) -> None:
        """Take note of a run without a prepared one, and prepare the next where that is worth it.

        The first of a form is tried on the same inputs, and must give the same bits: it does not
        where the model is a random one.
        """
        if form in self._idle:
            if len(self._idle[form]) < _MOST_OF_A_FORM:
                self.put_back(form, self._make(inputs, outputs))
        elif self._is_worth_it(form, inputs, outputs, seconds):
            prepared = self._make(inputs, outputs)
            if _same(prepared.run(inputs, None), outputs):
                self._idle[form] = [prepared]
            else:
                self._times[form] = _NEVER

    def fail(self, form: Form) -> None:
        """Take note of outputs of other shapes: they depend on more than the shapes of inputs."""
        self._failures[form] = self._failures.get(form, 0) + 1
        if self._failures[form] >= _MOST_FAILURES:
            self._times[form] = _NEVER
            self._idle.pop(form, None)

    def _is_worth_it(self, form: Form, inputs: Tensors, outputs: Tensors, seconds: float) -> bool:
        if len(self._times) >= _MOST_COUNTED:
            self._times.clear()
        times = self._times.get(form, 0)
        if times == _NEVER:
            return False
        self._times[form] = times + 1
        tensors = (*inputs.values(), *outputs.values())
        sizes = [tensor.buffer.nbytes for tensor in tensors]
        return (
            times >= TIMES_BEFORE
            and seconds <= MOST_SECONDS
            and all(sizes)
            and all(tensor.datatype is not BYTES for tensor in tensors)  # no fixed room holds them
            and sum(sizes) <= MOST_BYTES
            and len(self._idle) < MOST_FORMS
        )


def _same(some: Tensors, others: Tensors) -> bool:
    return all(some[name].buffer == others[name].buffer for name in others)
