"""One task of a batch: its share of the inputs, and what is written of them."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from inference_runtime import jsonio
from inference_runtime.batch.answers import LINES, WHOLE, answer_file
from inference_runtime.batch.folder import open_folder
from inference_runtime.engine.threads import vcpus
from inference_runtime.errors import BatchFailed, InferenceError, InvalidSettings
from inference_runtime.serving import start
from inference_runtime.telemetry import Stopwatch, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Final

    from inference_runtime.batch.folder import File, Folder
    from inference_runtime.dataplane import DataPlane
    from inference_runtime.settings import Settings

    Entry = dict[str, Any]

RESULTS: Final = "results/"
DONE: Final = "done/"
TASKS: Final = "tasks/"
MANIFEST: Final = "manifest.json"

_KEY_DIGITS: Final = 16
_LOCAL_EXECUTION: Final = "local"


def run(settings: Settings) -> None:
    """Answer this task's share of ``batch_input``.

    Raises:
        InvalidSettings: the input is not named, or the output is in it.
        ModelNotLoaded: the model cannot be had, or a folder cannot be read or written.
        BatchFailed: some inputs are not done; another try goes on with them.
    """
    output = _output(settings)
    jsonio.import_orjson()  # one writer for all results: the other may write a number otherwise
    plane = start(settings)
    with tempfile.TemporaryDirectory(prefix="inference-batch-", dir=settings.cache_dir) as scratch:
        source = open_folder(settings.batch_input, scratch, settings)
        Task(plane, source, open_folder(output, scratch, settings)).run()
    plane.close()


def share(name: str, tasks: int) -> int:
    """The task that an input belongs to: the same whatever other inputs there are, so that what is
    added while tasks start is not counted twice, and nothing is left out.
    """
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") % tasks


class Task:
    """See ``run``.

    Args:
        plane: with the model loaded.
        source: of the inputs.
        target: of the results.
    """

    def __init__(self, plane: DataPlane, source: Folder, target: Folder) -> None:
        self._plane = plane
        self._source = source
        self._target = target
        self._settings = plane.settings

    def run(self) -> None:
        """Answer the inputs that are not done, then write what came of all."""
        mine = sorted(self._mine(self._source.files()), key=lambda file: file.name)
        inputs = [file for file in mine if _is_input(file)]
        done = {file.name: file for file in self._target.files(DONE)}
        pending = [file for file in inputs if self._done_name(file) not in done]
        log(
            "INFO", "batch",
            task=self._settings.task_index, tasks=self._settings.task_count, inputs=len(inputs),
            done=len(inputs) - len(pending),
        )  # fmt: skip
        entries = self._earlier(
            [done[name] for file in inputs if (name := self._done_name(file)) in done]
        )
        entries += self._answer_all(pending)
        self._finish(entries, [file.name for file in mine if not _is_input(file)])

    def _mine(self, files: Iterable[File]) -> list[File]:
        tasks = self._settings.task_count
        return [file for file in files if share(file.name, tasks) == self._settings.task_index]

    def _answer_all(self, pending: list[File]) -> list[Entry]:
        """Several at the same time, so that one is read or written while another is answered.

        When the task is tried again, those at which it may have died come last and alone, and each
        time another of them first: so all others are done, whichever it is.
        """
        attempt, workers = self._settings.task_attempt, self._workers
        suspects = pending[: workers if attempt else 0]
        turn = attempt % max(1, len(suspects))
        with ThreadPoolExecutor(workers) as pool:
            entries = list(pool.map(self._answer, pending[len(suspects) :]))
        return entries + [self._answer(file) for file in suspects[turn:] + suspects[:turn]]

    @property
    def _workers(self) -> int:
        return self._settings.concurrency or int(vcpus(self._settings.lambda_memory_mb)) + 1

    def _done_name(self, file: File) -> str:
        model = self._plane.repository.default
        parts = (file.identity, model.name, model.version, self._settings.model_sha256)
        key = sha256("\n".join(parts).encode()).hexdigest()[:_KEY_DIGITS]
        return f"{DONE}{file.name}.{key}.json"

    def _earlier(self, done: Sequence[File]) -> list[Entry]:
        """What came of inputs that are done, from when they were."""
        with ThreadPoolExecutor(self._settings.fetch_connections) as readers:
            return list(readers.map(lambda file: _parsed(self._target, file), done))

    def _answer(self, file: File) -> Entry:
        watch = Stopwatch()
        entry: Entry = {"name": file.name, "records": 0, "failed": 0, "errors": []}
        try:
            with self._source.open(file) as content:
                answers = answer_file(self._plane, file.name, content)
            entry |= {
                "records": answers.records, "failed": answers.failed, "errors": answers.errors,
                "result": f"{RESULTS}{file.name}",
            }  # fmt: skip
            self._target.write(entry["result"], answers.content)
            if answers.unfinished:
                entry["unfinished"] = answers.unfinished
            else:
                self._target.write(self._done_name(file), jsonio.dumps(entry))
        except (InferenceError, OSError) as error:
            entry["unfinished"] = str(error)
        watch.lap("input")
        log(
            "ERROR" if "unfinished" in entry else "INFO", "batch input",
            name=file.name, records=entry["records"], failed=entry["failed"],
            **({"detail": entry["unfinished"]} if "unfinished" in entry else {}),
            **watch.milliseconds,
        )  # fmt: skip
        return entry

    def _finish(self, entries: list[Entry], ignored: list[str]) -> None:
        execution = self._settings.execution or _LOCAL_EXECUTION
        folder = f"{TASKS}{execution}/"
        index, tasks = self._settings.task_index, self._settings.task_count
        report = {"files": sorted(entries, key=lambda entry: entry["name"]), "ignored": ignored}
        self._target.write(f"{folder}{index:05}-of-{tasks:05}.json", jsonio.dumps(report))
        reports = [
            file for file in self._target.files(folder) if file.name.endswith(f"of-{tasks:05}.json")
        ]
        if len(reports) == tasks:
            merged = [_parsed(self._target, file) for file in reports]
            self._target.write(MANIFEST, jsonio.dumps(self._manifest(merged)))
        unfinished = [entry for entry in entries if "unfinished" in entry]
        if unfinished:
            raise BatchFailed(
                f"{len(unfinished)} of {len(entries)} inputs are not done, the first of them"
                f" {unfinished[0]['name']}: {unfinished[0]['unfinished']}"
            )

    def _manifest(self, reports: Iterable[Entry]) -> Entry:
        files: list[Entry] = []
        ignored: list[str] = []
        for report in reports:
            files += report["files"]
            ignored += report["ignored"]
        model = self._plane.repository.default
        return {
            "input": self._source.uri,
            "model": model.name,
            "model_version": model.version,
            "records": sum(entry["records"] for entry in files),
            "failed": sum(entry["failed"] for entry in files),
            "unfinished": sum("unfinished" in entry for entry in files),
            "ignored": sorted(ignored),
            "files": sorted(files, key=lambda entry: entry["name"]),
        }


def _is_input(file: File) -> bool:
    return file.name.endswith((LINES, WHOLE))


def _output(settings: Settings) -> str:
    """Where results go: beside the input, unless it is said."""
    source, output = settings.batch_input, settings.batch_output
    if not source:
        raise InvalidSettings("INFERENCE_BATCH_INPUT is not set; name the folder to answer")
    output = output or _beside(source)
    if _place(output).startswith(_place(source)):
        raise InvalidSettings(
            f"INFERENCE_BATCH_OUTPUT is {output!r}, in the input {source!r}, where results would be"
            " inputs of the next run; name a folder beside it"
        )
    if settings.task_index >= settings.task_count:
        raise InvalidSettings(
            f"CLOUD_RUN_TASK_INDEX is {settings.task_index} of {settings.task_count} tasks; it"
            " takes a number from 0 to one less than CLOUD_RUN_TASK_COUNT"
        )
    return output


def _beside(source: str) -> str:
    parent, _, name = source.rstrip("/").rpartition("/")
    if name in ("", ".", "..") or parent == "gs:/":
        raise InvalidSettings(
            f"INFERENCE_BATCH_INPUT is {source!r}, and there is nothing beside that; name a folder"
            " in it, or set INFERENCE_BATCH_OUTPUT"
        )
    return f"{source.rstrip('/')}-results/"


def _place(folder: str) -> str:
    """A folder as it can be compared, with a ``/`` at its end."""
    return folder if folder.startswith("gs://") else os.path.join(os.path.abspath(folder), "")


def _parsed(folder: Folder, file: File) -> Entry:
    with folder.open(file) as content:
        parsed: Any = jsonio.loads(content.read())
    return dict(parsed)
