"""Several calls of a model as one: their rows one below the other, and the answer split again."""

from __future__ import annotations

from math import prod

from inference_runtime.tensor import BYTES, Tensor, pack_elements, unpack_elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from inference_runtime.signature import Signature

    Tensors = Mapping[str, Tensor]


def can_fuse(signature: Signature) -> bool:
    """Whether the model takes and gives any number of rows, so that calls may share a run."""
    required = [spec for spec in signature.inputs.values() if not spec.optional]
    return signature.has_rows and bool(required) and not isinstance(required[0].shape[0], int)


def kind(inputs: Tensors, outputs: Sequence[str]) -> Hashable | None:
    """What calls must have in common to share a run.

    Returns:
        Equal values for calls that fit together; ``None`` for one that fits no other, because its
        inputs have different numbers of rows, or none.
    """
    if not inputs or any(not tensor.shape for tensor in inputs.values()):
        return None
    if len({tensor.shape[0] for tensor in inputs.values()}) > 1:
        return None
    columns = tuple(sorted((name, t.datatype.name, t.shape[1:]) for name, t in inputs.items()))
    return columns, tuple(outputs)


def row_count(inputs: Tensors) -> int:
    """The rows of a call that has a ``kind``."""
    return next(iter(inputs.values())).shape[0]


def fuse(calls: Sequence[Tensors]) -> dict[str, Tensor]:
    """The inputs of calls of one ``kind``, one below the other."""
    rows = sum(map(row_count, calls))
    return {
        name: Tensor(
            tensor.datatype,
            (rows, *tensor.shape[1:]),
            b"".join(call[name].buffer for call in calls),
        )
        for name, tensor in calls[0].items()
    }


def split(outputs: Tensors, counts: Sequence[int]) -> list[dict[str, Tensor]]:
    """The answer of a fused run, as one for each call.

    Args:
        outputs: of the run.
        counts: the calls' rows, in the order in which they were fused.

    Raises:
        ValueError: an output does not have as many rows as went in.
    """
    for name, tensor in outputs.items():
        if not tensor.shape or tensor.shape[0] != sum(counts):
            raise ValueError(
                f"output {name!r} has shape {list(tensor.shape)} for {sum(counts)} rows"
            )
    parts = {name: _split_tensor(tensor, counts) for name, tensor in outputs.items()}
    return [{name: next(part) for name, part in parts.items()} for _ in counts]


def _split_tensor(tensor: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
    columns = tensor.shape[1:]
    elements = unpack_elements(tensor.buffer) if tensor.datatype is BYTES else None
    first = 0
    for count in counts:
        start, size = first * prod(columns), count * prod(columns)
        if elements is not None:
            buffer: bytes | memoryview = pack_elements(elements[start : start + size])
        else:
            width = tensor.datatype.itemsize
            buffer = tensor.buffer[start * width : (start + size) * width]
        yield Tensor(tensor.datatype, (count, *columns), buffer, tensor.labels)
        first += count
