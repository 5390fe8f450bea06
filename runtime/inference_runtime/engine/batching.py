"""Adaptive micro-batching: calls that come while the model runs share its next run.

Nobody waits for company: a call that finds the model idle runs at once, alone. Calls that find it
busy queue, and when a run ends, the longest waiting one and those of its kind become the next run,
on the thread of the first of them. So there is no delay to set and no thread to keep.
"""

from __future__ import annotations

import random
from math import prod
from threading import Event, Lock

from inference_runtime import fusion
from inference_runtime.engine import Cancellation
from inference_runtime.errors import InferenceError
from inference_runtime.tensor import BYTES, Tensor, pack_elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from inference_runtime.engine import Engine
    from inference_runtime.signature import TensorSpec

    Outputs = dict[str, Tensor]

_PROBED_ROWS = (1, 2, 3)


class BatchingEngine:
    """An engine that runs calls together which come at the same time.

    A call that does not fit the others, in its inputs' shapes or in the outputs it asks for, runs
    by itself. When a shared run fails, each of its calls runs again alone, so that only the one at
    fault gets the error. A call that is cancelled while it waits leaves the queue; one whose run
    has begun is answered with its reason when that run ends, which is ended at once only when all
    who share it are cancelled.

    Args:
        engine: what runs the model.
        max_rows: of one shared run. A call with more rows runs by itself.
        concurrency: runs at the same time.

    Attributes:
        signature: the engine's.
    """

    def __init__(self, engine: Engine, max_rows: int, concurrency: int = 1) -> None:
        self.signature = engine.signature
        self._engine = engine
        self._max_rows = max_rows
        self._concurrency = concurrency
        self._lock = Lock()
        self._running = 0
        self._waiting: list[_Call] = []

    def run(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        cancellation: Cancellation | None = None,
    ) -> Outputs:
        """Run the model, alone or together with other calls; see ``Engine.run``."""
        call = _Call(inputs, outputs, cancellation)
        if self._starts_at_once(call):
            call.group = [call]
        else:
            self._wait(call)
        if call.group:
            self._lead(call.group)
        return call.result()

    def _starts_at_once(self, call: _Call) -> bool:
        with self._lock:
            if self._running < self._concurrency:
                self._running += 1
                return True
            self._waiting.append(call)
            return False

    def _wait(self, call: _Call) -> None:
        """Until the call is answered, leads a run, or is cancelled."""
        if call.cancellation is not None:
            call.cancellation.attach(lambda: self._give_up(call))
        call.ready.wait()

    def _give_up(self, call: _Call) -> None:
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
                call.ready.set()

    def _lead(self, group: list[_Call]) -> None:
        try:
            self._answer(group)
        finally:
            self._start_next()
            for call in group[1:]:
                call.ready.set()

    def _answer(self, group: list[_Call]) -> None:
        if len(group) == 1:
            group[0].answer_with(self._engine)
            return
        shared = _SharedCancellation([call.cancellation for call in group])
        try:
            fused = fusion.fuse([call.inputs for call in group])
            outputs = self._engine.run(fused, group[0].outputs, shared)
            answers = fusion.split(outputs, [call.rows for call in group])
        except (InferenceError, ValueError):
            for call in group:
                call.answer_with(self._engine)
        except BaseException as error:
            for call in group:
                call.error = error
        else:
            for call, answer in zip(group, answers, strict=True):
                call.answer = answer
        finally:
            shared.detach_all()

    def _start_next(self) -> None:
        """Hand the model to the longest waiting call and those that fit it; else it is idle."""
        with self._lock:
            if not self._waiting:
                self._running -= 1
                return
            group = self._next_group()
            self._waiting = [call for call in self._waiting if call not in group]
        group[0].group = group
        group[0].ready.set()

    def _next_group(self) -> list[_Call]:
        first, *others = self._waiting
        group, rows = [first], first.rows
        if first.kind is None:
            return group
        for call in others:
            if call.kind == first.kind and rows + call.rows <= self._max_rows:
                group.append(call)
                rows += call.rows
        return group


class _Call:
    """One caller's request, and its way to an answer."""

    __slots__ = (
        "answer", "cancellation", "error", "group", "inputs", "kind", "outputs", "ready", "rows",
    )  # fmt: skip

    def __init__(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        cancellation: Cancellation | None,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.cancellation = cancellation
        self.kind: Hashable | None = fusion.kind(inputs, outputs)
        self.rows = 0 if self.kind is None else fusion.row_count(inputs)
        self.ready = Event()
        self.group: list[_Call] = []
        self.answer: Outputs | None = None
        self.error: BaseException | None = None

    def answer_with(self, engine: Engine) -> None:
        """Run alone."""
        try:
            self.answer = engine.run(self.inputs, self.outputs, self.cancellation)
        except BaseException as error:
            self.error = error

    def result(self) -> Outputs:
        """The answer, or what was raised instead."""
        reason = None if self.cancellation is None else self.cancellation.reason
        if reason is not None or self.error is not None:
            raise reason or self.error  # type: ignore[misc]
        assert self.answer is not None  # noqa: S101
        return self.answer


class _SharedCancellation(Cancellation):
    """Cancelled when every call of a shared run is; never, where one of them cannot be."""

    __slots__ = ("_counting", "_left", "_parts")

    def __init__(self, parts: Sequence[Cancellation | None]) -> None:
        super().__init__()
        self._counting = Lock()
        self._left = len(parts)
        self._parts = [part for part in parts if part is not None]
        for part in self._parts:
            part.attach(self._one_less)

    def detach_all(self) -> None:
        for part in self._parts:
            part.detach()

    def _one_less(self) -> None:
        with self._counting:
            self._left -= 1
            all_cancelled = not self._left
        if all_cancelled:
            self.cancel()


def is_exact(engine: Engine) -> bool:
    """Whether rows have the same bits run together as run alone, on a probe of random values.

    Matrix products of other heights may be summed in another order. That is a property of the
    model's kernels on this processor, which no model declares.
    """
    if not fusion.can_fuse(engine.signature):
        return False
    generator = random.Random(0)  # noqa: S311
    outputs = list(engine.signature.outputs)
    required = [spec for spec in engine.signature.inputs.values() if not spec.optional]
    calls = [{s.name: _sample(s, rows, generator) for s in required} for rows in _PROBED_ROWS]
    try:
        alone = [engine.run(call, outputs) for call in calls]
        together = fusion.split(engine.run(fusion.fuse(calls), outputs), _PROBED_ROWS)
    except (InferenceError, ValueError):
        return False
    return all(
        bytes(one[name].buffer) == bytes(other[name].buffer)
        for one, other in zip(alone, together, strict=True)
        for name in outputs
    )


def _sample(spec: TensorSpec, rows: int, generator: random.Random) -> Tensor:
    """Random values that models can take: fractions for floats, 0 and 1 for all else."""
    from inference_runtime.codecs import nested  # only the probe needs it

    shape = spec.sizes(rows)
    count = prod(shape)
    if spec.datatype is BYTES:
        return Tensor(BYTES, shape, pack_elements([b"a"] * count))
    draw = generator.random if spec.datatype.kind == "float" else lambda: generator.getrandbits(1)
    values: list[object] = [draw() for _ in range(count)]
    if spec.datatype.kind == "bool":
        values = [bool(value) for value in values]
    return Tensor(spec.datatype, shape, nested.decode(values, spec.datatype, spec.name).buffer)  # type: ignore[arg-type]
