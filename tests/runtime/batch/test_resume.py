"""A batch that was killed, or whose inputs have changed, goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
from inference_runtime.batch.folder import File
from inference_runtime.batch.local_folder import LocalFolder

from tests.runtime.batch.batches import (
    answered,
    fail_on,
    line,
    manifest,
    results,
    run,
    tree,
)

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
