"""``inference-runtime batch`` over a folder on this machine, and killed there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime import serving
from inference_runtime.batch import job
from inference_runtime.batch.folder import File
from inference_runtime.batch.job import share
from inference_runtime.batch.local_folder import LocalFolder
from inference_runtime.dataplane import DataPlane
from inference_runtime.errors import BatchFailed, InvalidSettings, ModelFailed
from inference_runtime.service import InferenceService
from inference_runtime.settings import Settings

from tests.runtime import onnx_models

# Kills itself before the N-th file appears.
KILL = """
import os, signal, sys
left = [int(sys.argv.pop(1))]
replace = os.replace
def counted(*args):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(*args)
os.replace = counted
from inference_runtime.cli.main import main
sys.exit(main())
"""
WRITES_OF_AN_INPUT = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Multiplies rows of three numbers by ten."""
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    return str(onnx_models.save(onnx_models.scaled(), path))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Seven inputs, three of them in a folder, with five records each."""
    folder = tmp_path / "inputs"
    for index in range(7):
        path = folder / ("nested" if index % 2 else "") / f"{index}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line(index, row) for row in range(5)))
    return folder


def line(*values: float) -> str:
    return json.dumps({"features": list(values)}) + "\n"


def settings(model: str, inputs: Path | str, **environ: Any) -> Settings:
    given = {
        "MODEL_URI": model, "INFERENCE_BATCH_INPUT": str(inputs), "INFERENCE_BATCH_ROWS": "2",
        "INFERENCE_REQUEST_LOG": "errors", "INFERENCE_CONCURRENCY": "1",
        **{name: str(value) for name, value in environ.items()},
    }  # fmt: skip
    return Settings.read(given)


def run(model: str, inputs: Path | str, tasks: int = 1, **environ: Any) -> None:
    for index in range(tasks):
        task = {"CLOUD_RUN_TASK_INDEX": index, "CLOUD_RUN_TASK_COUNT": tasks}
        job.run(settings(model, inputs, **task, **environ))


def results(inputs: Path) -> Path:
    return inputs.with_name(f"{inputs.name}-results")


def manifest(inputs: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((results(inputs) / "manifest.json").read_text())
    return parsed


def tree(folder: Path) -> dict[str, bytes]:
    """All files but those of tasks, of which there may be more where one was killed."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "tasks" not in path.parts
    }


def answered(inputs: Path, name: str) -> list[Any]:
    lines = (results(inputs) / "results" / name).read_text().splitlines()
    return [json.loads(one) for one in lines]


# What is written


def test_each_line_has_its_answer_under_its_number(model: str, inputs: Path) -> None:
    run(model, inputs)
    assert answered(inputs, "nested/3.jsonl") == [
        {"id": row + 1, "answer": {"predictions": [30.0, 10.0 * row], "model_version": "1"}}
        for row in range(5)
    ]
    assert manifest(inputs)["records"] == 35


def test_one_request_in_a_file_has_its_answer_alone(model: str, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "one.json").write_text(line(1, 2))
    run(model, inputs)
    (answer,) = answered(inputs, "one.json")
    assert answer == {"predictions": [10.0, 20.0], "model_version": "1"}


def test_the_manifest_says_what_was_done_and_what_was_left_alone(model: str, inputs: Path) -> None:
    (inputs / "README.txt").write_text("no input")
    run(model, inputs, tasks=3, MODEL_NAME="scale", MODEL_VERSION="7")
    told = manifest(inputs)
    files = told.pop("files")
    assert told == {
        "input": f"{inputs}/", "model": "scale", "model_version": "7", "records": 35, "failed": 0,
        "unfinished": 0, "ignored": ["README.txt"],
    }  # fmt: skip
    assert [entry["name"] for entry in files] == [
        "0.jsonl", "2.jsonl", "4.jsonl", "6.jsonl", "nested/1.jsonl", "nested/3.jsonl",
        "nested/5.jsonl",
    ]  # fmt: skip
    assert all((results(inputs) / entry["result"]).exists() for entry in files)


def test_an_empty_folder_has_an_empty_manifest(model: str, tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    run(model, tmp_path / "inputs", tasks=2)
    assert manifest(tmp_path / "inputs")["files"] == []


def test_results_go_where_they_are_told_to(model: str, inputs: Path, tmp_path: Path) -> None:
    run(model, inputs, INFERENCE_BATCH_OUTPUT=tmp_path / "answers")
    assert (tmp_path / "answers" / "manifest.json").exists()
    assert not results(inputs).exists()


def test_a_line_may_be_of_the_open_inference_protocol(model: str, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    (inputs / "a.jsonl").write_text(json.dumps({"id": "7", "inputs": [tensor]}) + "\n")
    run(model, inputs)
    (answer,) = answered(inputs, "a.jsonl")
    assert answer["answer"]["id"] == "7"
    assert answer["answer"]["outputs"][0]["data"] == [10.0, 20.0]


# Tasks


@given(names=st.lists(st.text(), unique=True), tasks=st.integers(1, 100))
def test_every_input_belongs_to_exactly_one_task(names: list[str], tasks: int) -> None:
    shares = [{name for name in names if share(name, tasks) == task} for task in range(tasks)]
    assert sorted(name for one in shares for name in one) == sorted(names)


def test_large_batches_are_shared_evenly() -> None:
    counts = [0] * 10
    for index in range(10_000):
        counts[share(f"part-{index:05}.jsonl", 10)] += 1
    assert 900 < min(counts) <= max(counts) < 1100


@pytest.mark.parametrize("tasks", [1, 2, 3, 10])
def test_tasks_answer_every_input_once_whatever_their_number(
    model: str, inputs: Path, tasks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = LocalFolder.write

    def counting(folder: LocalFolder, name: str, content: bytes | bytearray) -> None:
        written.append(name)
        write(folder, name, content)

    monkeypatch.setattr(LocalFolder, "write", counting)
    run(model, inputs, tasks=tasks)
    answers = [name for name in written if name.startswith("results/")]
    assert len(answers) == len(set(answers)) == 7
    assert manifest(inputs)["records"] == 35


def test_the_manifest_is_there_when_the_last_task_has_ended(model: str, inputs: Path) -> None:
    for index in (2, 0, 1):
        assert not (results(inputs) / "manifest.json").exists()
        task = {"CLOUD_RUN_TASK_INDEX": index, "CLOUD_RUN_TASK_COUNT": 3}
        job.run(settings(model, inputs, **task))
    assert len(manifest(inputs)["files"]) == 7


def test_tasks_of_another_execution_do_not_count(model: str, inputs: Path) -> None:
    run(model, inputs, tasks=2, CLOUD_RUN_EXECUTION="first")
    (results(inputs) / "manifest.json").unlink()
    task = {"CLOUD_RUN_TASK_INDEX": 0, "CLOUD_RUN_TASK_COUNT": 2}
    job.run(settings(model, inputs, CLOUD_RUN_EXECUTION="second", **task))
    assert not (results(inputs) / "manifest.json").exists()


# Poison


def test_records_at_fault_are_told_and_the_others_answered(model: str, inputs: Path) -> None:
    long = '{"features": ["' + "x" * 300 + '"]}\n'
    lines = (line(1, 2), line(1, 2, 3), "\n", "{\n", line(3, 4), long)
    (inputs / "0.jsonl").write_text("".join(lines))
    run(model, inputs, INFERENCE_MAX_REQUEST_BYTES=200)
    told = answered(inputs, "0.jsonl")
    assert [one["id"] for one in told] == [1, 2, 4, 5, 6]
    codes = {one["id"]: one["error"]["code"] for one in told if "error" in one}
    assert codes == {2: "INVALID_INPUT", 4: "MALFORMED_BODY", 6: "PAYLOAD_TOO_LARGE"}
    (entry,) = (one for one in manifest(inputs)["files"] if one["failed"])
    assert (entry["name"], entry["records"], entry["failed"]) == ("0.jsonl", 5, 3)
    assert [(error["id"], error["code"]) for error in entry["errors"]] == list(codes.items())
    assert manifest(inputs)["failed"] == 3


def test_a_line_may_be_as_long_as_a_request(model: str, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    request = line(1, 2).strip()
    for index, ends in enumerate(("\n", "\r\n", "")):
        (inputs / f"{index}.jsonl").write_bytes(f"{line(3, 4)}{request}{ends}".encode())
    run(model, inputs, INFERENCE_MAX_REQUEST_BYTES=len(request))
    assert manifest(inputs)["failed"] == 0
    (inputs / "3.jsonl").write_text(request + "  \n\n" + line(3, 4))
    run(model, inputs, INFERENCE_MAX_REQUEST_BYTES=len(request))
    assert [error["id"] for error in manifest(inputs)["files"][3]["errors"]] == [1]
    assert [one["id"] for one in answered(inputs, "3.jsonl")] == [1, 3]


def test_of_many_errors_the_manifest_has_the_first(model: str, inputs: Path) -> None:
    (inputs / "0.jsonl").write_text(line(1) * 250)
    run(model, inputs)
    entry = manifest(inputs)["files"][0]
    assert (entry["failed"], len(entry["errors"])) == (250, 100)
    assert len(answered(inputs, "0.jsonl")) == 250


def fail_on(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the model fail where an input has this value."""
    infer = InferenceService.infer

    def failing(service: InferenceService, inputs: Any, *args: Any, **options: Any) -> Any:
        if value in memoryview(inputs["x"].buffer).cast("B").cast("f").tolist():
            raise ModelFailed("the model failed")
        return infer(service, inputs, *args, **options)

    monkeypatch.setattr(InferenceService, "infer", failing)


def test_what_is_ours_fails_the_task_and_is_tried_again(
    model: str, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inputs / "2.jsonl").write_text(line(1, 1) + line(1, 77) + line(1, 2))
    with monkeypatch.context() as patch:
        fail_on(77, patch)
        with pytest.raises(BatchFailed, match=r"1 of 7 inputs are not done.* 2.jsonl: record 2"):
            run(model, inputs)
    told = manifest(inputs)
    assert (told["unfinished"], told["failed"]) == (1, 1)
    assert told["files"][1]["unfinished"] == "record 2: the model failed"
    assert [one["id"] for one in answered(inputs, "2.jsonl") if "answer" in one] == [1, 3]
    run(model, inputs)
    assert (manifest(inputs)["unfinished"], manifest(inputs)["failed"]) == (0, 0)


def test_an_input_that_cannot_be_read_does_not_stop_the_others(
    model: str, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = LocalFolder.open

    def reading(folder: LocalFolder, file: File) -> BinaryIO:
        if file.name == "0.jsonl":
            raise FileNotFoundError("gone")
        return read(folder, file)

    monkeypatch.setattr(LocalFolder, "open", reading)
    with pytest.raises(BatchFailed, match="1 of 7 inputs are not done"):
        run(model, inputs)
    assert manifest(inputs)["records"] == 30
    assert manifest(inputs)["files"][0]["unfinished"] == "gone"


def test_a_folder_that_is_not_there_or_not_whole_is_told(model: str, inputs: Path) -> None:
    with pytest.raises(BatchFailed, match="missing/ cannot be read: No such file or directory"):
        run(model, inputs.with_name("missing"))
    (inputs / "loop.jsonl").symlink_to(inputs / "loop.jsonl")
    with pytest.raises(BatchFailed, match=r"loop.jsonl cannot be read: Too many levels"):
        run(model, inputs)


# Resumed


def test_what_is_done_is_not_done_again(
    model: str, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(model, inputs)
    before = tree(results(inputs))
    fail_on(1.0, monkeypatch)  # whatever runs now fails
    run(model, inputs)
    assert tree(results(inputs)) == before


@pytest.mark.parametrize("change", ["input", "version"])
def test_what_has_changed_is_done_again(model: str, inputs: Path, change: str) -> None:
    run(model, inputs)
    version = "2" if change == "version" else "1"
    if change == "input":
        (inputs / "0.jsonl").write_text(line(5, 6))
    run(model, inputs, MODEL_VERSION=version)
    first, *_ = answered(inputs, "0.jsonl")
    assert first["answer"]["model_version"] == version
    assert first["answer"]["predictions"] == ([50.0, 60.0] if change == "input" else [0.0, 0.0])
    assert manifest(inputs)["model_version"] == version


def killed(model: str, inputs: Path, writes: int, **environ: str) -> int:
    """The exit code of a process that is killed before it has written more than so many files, one
    input after the other.
    """
    command = [sys.executable, "-c", KILL, str(writes), "batch", "--model", model]
    ended = subprocess.run(
        [*command, "--input", str(inputs)],
        env={
            **os.environ, "INFERENCE_BATCH_ROWS": "2", "INFERENCE_CONCURRENCY": "1", **environ,
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode


@pytest.mark.parametrize("writes", [0, 1, 2, 7, 14, 15])
def test_a_task_that_is_killed_anywhere_goes_on_to_the_same_result(
    model: str, inputs: Path, tmp_path: Path, writes: int
) -> None:
    (inputs / "2.jsonl").write_text(line(1, 1) + line(1) + line(1, 2))
    run(model, inputs)
    whole = tree(results(inputs))
    results(inputs).rename(tmp_path / "whole")
    assert killed(model, inputs, writes) == -signal.SIGKILL
    assert not (results(inputs) / "manifest.json").exists()
    kept = tree(results(inputs))
    done = [name for name in kept if name.startswith("done/") and name.endswith(".json")]
    assert len(done) == min(7, writes // WRITES_OF_AN_INPUT)
    run(model, inputs)
    now = tree(results(inputs))
    assert {name: now[name] for name in whole} == whole
    assert all(name.endswith(".part") for name in now.keys() - whole.keys())


def test_a_task_that_is_tried_again_leaves_what_may_have_killed_it_to_the_end(
    model: str, inputs: Path
) -> None:
    killed(model, inputs, 0)  # on the first
    killed(model, inputs, 2 * 6, CLOUD_RUN_TASK_ATTEMPT="1")  # on it again, the others being done
    done = {path.name.split(".")[0] for path in (results(inputs) / "done").rglob("*.json")}
    assert done == {"1", "2", "3", "4", "5", "6"}


@pytest.mark.parametrize("culprit", ["0.jsonl", "2.jsonl", "4.jsonl"])
def test_of_several_suspects_each_has_its_turn(
    model: str, inputs: Path, culprit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input ends its task whenever it is answered; the task is tried again four times."""
    read = LocalFolder.open

    def reading(folder: LocalFolder, file: File) -> BinaryIO:
        if file.name == culprit:
            raise SystemExit
        return read(folder, file)

    monkeypatch.setattr(LocalFolder, "open", reading)
    for attempt in range(5):
        with pytest.raises(SystemExit):
            run(model, inputs, CLOUD_RUN_TASK_ATTEMPT=attempt, INFERENCE_CONCURRENCY=3)
    done = {path.name.split(".")[0] for path in (results(inputs) / "done").rglob("*.json")}
    assert done == {"0", "1", "2", "3", "4", "5", "6"} - {culprit[0]}


@pytest.mark.parametrize("concurrency", [2, 8])
def test_inputs_at_the_same_time_have_the_same_results(
    model: str, inputs: Path, tmp_path: Path, concurrency: int
) -> None:
    run(model, inputs)
    one_by_one = tree(results(inputs))
    results(inputs).rename(tmp_path / "one-by-one")
    run(model, inputs, INFERENCE_CONCURRENCY=concurrency)
    assert tree(results(inputs)) == one_by_one


def test_another_number_of_tasks_goes_on_with_what_is_done(
    model: str, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(model, inputs, tasks=2)
    fail_on(1.0, monkeypatch)  # whatever runs now fails
    run(model, inputs, tasks=5)
    assert (manifest(inputs)["records"], manifest(inputs)["failed"]) == (35, 0)


# Refused


@pytest.mark.parametrize(
    ("source", "environ", "message"),
    [
        ("", {}, "INFERENCE_BATCH_INPUT is not set"),
        ("gs://bucket/", {}, "there is nothing beside that"),
        (".", {}, "there is nothing beside that"),
        ("in", {"INFERENCE_BATCH_OUTPUT": "in/out"}, "in the input 'in'"),
        (
            "gs://b/in/",
            {"INFERENCE_BATCH_OUTPUT": "gs://b/in/out/"},
            "INFERENCE_BATCH_OUTPUT is 'gs://b/in/out/', in the input",
        ),
        ("in", {"CLOUD_RUN_TASK_INDEX": "2", "CLOUD_RUN_TASK_COUNT": "2"}, "is 2 of 2 tasks"),
    ],
)
def test_what_cannot_work_is_refused_before_the_model_loads(
    source: str, environ: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(_settings: Settings) -> DataPlane:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(job, "start", loaded)
    with pytest.raises(InvalidSettings, match=message):
        job.run(settings("none.onnx", source, **environ))


def test_serving_imports_nothing_of_it() -> None:
    code = "import sys, inference_runtime.serving; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert serving.__name__ in modules
    assert [name for name in modules if name.startswith("inference_runtime.batch")] == []
