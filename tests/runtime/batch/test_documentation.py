"""docs/runtime.md shows what a batch makes of its input."""

from __future__ import annotations

import json
import re
from pathlib import Path

from inference_runtime.batch import job
from inference_runtime.settings import Settings

from tests.runtime import onnx_models
from tests.runtime.documentation import PAGE

BLOCK = re.compile(r"^```jsonl (\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_the_example_has_the_result_that_is_shown(tmp_path: Path) -> None:
    blocks = dict(BLOCK.findall(PAGE.read_text()))
    model = onnx_models.save(onnx_models.scaled(), tmp_path / "model.onnx")
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "a.jsonl").write_text(blocks["input"])
    job.run(Settings.read({"MODEL_URI": model, "INFERENCE_BATCH_INPUT": f"{tmp_path}/requests/"}))
    result = (tmp_path / "requests-results" / "results" / "a.jsonl").read_text()
    assert [json.loads(line) for line in result.splitlines()] == [
        json.loads(line) for line in blocks["result"].splitlines()
    ]
