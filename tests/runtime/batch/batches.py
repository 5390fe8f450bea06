"""A folder of inputs on this machine, and what a batch makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inference_runtime.batch import job
from inference_runtime.errors import ModelFailed
from inference_runtime.service import InferenceService
from inference_runtime.settings import Settings


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


def fail_on(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the model fail where an input has this value."""
    infer = InferenceService.infer

    def failing(service: InferenceService, inputs: Any, *args: Any, **options: Any) -> Any:
        if value in memoryview(inputs["x"].buffer).cast("B").cast("f").tolist():
            raise ModelFailed("the model failed")
        return infer(service, inputs, *args, **options)

    monkeypatch.setattr(InferenceService, "infer", failing)
