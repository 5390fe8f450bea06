"""Records of a batch: payloads that came together, run together, answered or refused one by one.

Calls that fit one below the other share a run of at most ``INFERENCE_BATCH_ROWS`` rows. When a
shared run fails, each of its calls runs again alone, so that only the one at fault gets the error.
"""

from __future__ import annotations

from inference_runtime import fusion
from inference_runtime.exchange import Exchange
from inference_runtime.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from inference_runtime.dataplane import DataPlane
    from inference_runtime.engine import Cancellation
    from inference_runtime.errors import InferenceError
    from inference_runtime.exchange import ModelCall
    from inference_runtime.jsonio import Json
    from inference_runtime.tensor import Tensor


class Record:
    """One payload of a batch, on its way to an answer or an error.

    Args:
        plane: with the model loaded.
        id: the record's own, under which the log has it.
        read: gives the parsed payload; what it raises is the record's error.
        cancellation: ends the run that it takes part in.

    Attributes:
        id: the record's own.
        answer: the model's, once ``answer_records`` has returned and ``error`` is ``None``.
        error: what there is instead.
    """

    def __init__(
        self,
        plane: DataPlane,
        id: str,
        read: Callable[[], Json],
        cancellation: Cancellation | None = None,
    ) -> None:
        self.id = id
        self.answer: Json = None
        self.error: InferenceError | None = None
        self.call: ModelCall | None = None
        self.results: dict[str, Tensor] | None = None
        self._plane = plane
        self._read = read
        request = Request("POST", "", {}, b"", id, cancellation)
        self.exchange = Exchange(request, plane.simple.error_body)

    def decode(self) -> None:
        """Make a call of the payload."""
        with self.exchange:
            payload = self._read()
            protocol = self._plane.protocol(payload)
            self.exchange.error_body = protocol.error_body
            self.call = protocol.read_object(payload, self.exchange)
            self.exchange.watch.lap("decode")

    @property
    def shown(self) -> Json:
        """The answer, or the error as its protocol's clients read it."""
        return self.answer if self.error is None else self.exchange.error_body(self.error, self.id)

    def encode(self) -> None:
        """Make an answer of the results, and tell the log."""
        if self.call is not None and self.results is not None:
            with self.exchange:
                self.answer = self.call.encode(self.results)
        self.error = self.exchange.error
        self._plane.observe(self.exchange)


def answer_records(records: Sequence[Record], max_rows: int) -> None:
    """Give each of ``records`` its answer or its error.

    Args:
        records: with one cancellation, if any.
        max_rows: of a shared run.
    """
    for record in records:
        record.decode()
    for group in _groups(records, max_rows):
        _run(group)
    for record in records:
        record.encode()


class _Group:
    """Records that share a run."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.calls: list[ModelCall] = []
        self.rows = 0

    def add(self, record: Record, call: ModelCall, rows: int) -> None:
        self.records.append(record)
        self.calls.append(call)
        self.rows += rows


def _groups(records: Sequence[Record], max_rows: int) -> list[_Group]:
    groups: list[_Group] = []
    open_ones: dict[Hashable, _Group] = {}
    for record in records:
        call = record.call
        if call is None:
            continue
        kind = _kind(call)
        rows = 0 if kind is None else fusion.row_count(call.inputs)
        group = None if kind is None else open_ones.get(kind)
        if group is None or group.rows + rows > max_rows:
            group = _Group()
            groups.append(group)
            open_ones[kind] = group
        group.add(record, call, rows)
    return groups


def _kind(call: ModelCall) -> Hashable | None:
    if not fusion.can_fuse(call.entry.ready_service().signature):
        return None
    return fusion.kind(call.inputs, call.outputs)


def _run(group: _Group) -> None:
    try:
        results = _infer(group)
    except Exception as error:
        _run_alone(group, error)
    else:
        for record, result in zip(group.records, results, strict=True):
            record.results = result


def _run_alone(group: _Group, error: Exception) -> None:
    """After ``group`` failed with ``error``: find whose it is."""
    if len(group.records) == 1:
        with group.records[0].exchange:
            raise error
        return
    for record, call in zip(group.records, group.calls, strict=True):
        alone = _Group()
        alone.add(record, call, 0)
        _run(alone)


def _infer(group: _Group) -> list[dict[str, Tensor]]:
    counts = [_start(record, call) for record, call in zip(group.records, group.calls, strict=True)]
    call = group.calls[0]
    cancellation = group.records[0].exchange.request.cancellation
    alone = len(group.calls) == 1
    inputs = call.inputs if alone else fusion.fuse([each.inputs for each in group.calls])
    outputs = call.entry.ready_service().infer(inputs, call.outputs, cancellation)
    for record in group.records:
        record.exchange.watch.lap("run")
    return [outputs] if alone else fusion.split(outputs, counts)


def _start(record: Record, call: ModelCall) -> int:
    """End the record's wait for its run; the number of its rows."""
    shape = next(iter(call.inputs.values())).shape if call.inputs else ()
    rows = shape[0] if shape else 1
    record.exchange.batch_size = rows
    record.exchange.watch.lap("queue")
    return rows
