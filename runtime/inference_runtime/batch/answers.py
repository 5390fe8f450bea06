"""The requests of one input, answered."""

from __future__ import annotations

from itertools import islice

from inference_runtime import jsonio
from inference_runtime.errors import PayloadTooLarge
from inference_runtime.records import Record, answer_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO, Final

    from inference_runtime.dataplane import DataPlane
    from inference_runtime.jsonio import Json

LINES: Final = ".jsonl"
WHOLE: Final = ".json"

_TOLD_ERRORS: Final = 100
_SKIPPED_AT_ONCE: Final = 1 << 20


class Answers:
    """What came of one input.

    Attributes:
        content: of its result.
        records: how many requests it had.
        failed: how many of them have an error for an answer.
        errors: the first hundred of those, each with the record's ``id``, ``code`` and
            ``message``.
        unfinished: why it must be answered again; empty where all that failed was the input's
            fault.
    """

    def __init__(self) -> None:
        self.content = bytearray()
        self.records = 0
        self.failed = 0
        self.errors: list[dict[str, Json]] = []
        self.unfinished = ""

    def add(self, record: Record, id: int) -> None:
        """Count a record that was answered."""
        self.records += 1
        error = record.error
        if error is None:
            return
        self.failed += 1
        if len(self.errors) < _TOLD_ERRORS:
            self.errors.append({"id": id, "code": error.code, "message": str(error)})
        if error.fault == "server" and not self.unfinished:
            self.unfinished = f"record {id}: {error}"


def answer_file(plane: DataPlane, name: str, file: BinaryIO) -> Answers:
    """Answer each request in an input.

    Args:
        plane: with the model loaded.
        name: of the input; it ends with ``.jsonl`` or ``.json``.
        file: its content.
    """
    answers = Answers()
    if name.endswith(WHOLE):
        record = Record(plane, name, _reading(file.read(), plane.max_request_bytes))
        answer_records([record], plane.settings.batch_rows)
        answers.add(record, 1)
        answers.content += jsonio.dumps(record.shown)
        return answers
    lines = _lines(file, plane.max_request_bytes)
    while chunk := list(islice(lines, plane.settings.batch_rows)):
        records = [Record(plane, f"{name}:{id}", read) for id, read in chunk]
        answer_records(records, plane.settings.batch_rows)
        for (id, _), record in zip(chunk, records, strict=True):
            answers.add(record, id)
            answers.content += jsonio.dumps(_line(id, record)) + b"\n"
    return answers


def _line(id: int, record: Record) -> dict[str, Any]:
    if record.error is None:
        return {"id": id, "answer": record.answer}
    return {"id": id, "error": {"code": record.error.code, "message": str(record.error)}}


def _lines(file: BinaryIO, limit: int) -> Iterator[tuple[int, Callable[[], Json]]]:
    """The lines that are not empty, each with its number, from 1."""
    number = 0
    while line := file.readline(limit + 2):  # what is allowed, and what ends it
        number += 1
        body = line.rstrip(b"\r\n")
        rest = 0 if line.endswith(b"\n") else _skip_line(file)
        if body.strip():
            yield number, _reading(body, limit, rest)


def _skip_line(file: BinaryIO) -> int:
    """Go to the next line; how many bytes were left of this one."""
    size = 0
    while piece := file.readline(_SKIPPED_AT_ONCE):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _reading(body: bytes, limit: int, rest: int = 0) -> Callable[[], Json]:
    """What parses a request, of which ``rest`` bytes more were not read."""

    def read() -> Json:
        size = len(body) + rest
        if size > limit:
            raise PayloadTooLarge.body(size, limit)
        return jsonio.loads(body)

    return read
