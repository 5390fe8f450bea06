"""What a batch on this machine writes, which task does what, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime import serving
from inference_runtime.batch import job
from inference_runtime.batch.folder import File
from inference_runtime.batch.job import share
from inference_runtime.batch.local_folder import LocalFolder
from inference_runtime.dataplane import DataPlane
from inference_runtime.errors import BatchFailed, InvalidSettings
from inference_runtime.settings import Settings

from tests.runtime.batch.batches import (
    answered,
    fail_on,
    line,
    manifest,
    results,
    run,
    settings,
)

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
