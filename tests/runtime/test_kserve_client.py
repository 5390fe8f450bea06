"""KServe's own client against the server, from an environment of its own: tests/clients/kserve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime import onnx_models
from tests.runtime.http_server import HOST, serving

PROJECT = Path(__file__).parents[1] / "clients" / "kserve"
UV = Path(sys.executable).with_name("uv")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="KServe has no release for this Python")
def test_the_client_reads_every_answer(tmp_path: Path) -> None:
    model = onnx_models.save(onnx_models.sum_and_product(), tmp_path / "model.onnx")
    kept = {name: text for name, text in os.environ.items() if name != "VIRTUAL_ENV"}
    with serving(tmp_path, model) as server:
        # `make setup` has installed it; the tests need no network.
        run = subprocess.run(
            [UV, "run", "--project", PROJECT, "--frozen", "--no-sync", "python",
             PROJECT / "client.py", f"http://{HOST}:{server.port}"],
            capture_output=True, text=True, env=kept, check=False,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["live"] is told["ready"] is told["model_ready"] is True
    answer = {"id": "7", "sum": [[6, 8], [10, 12]], "product": [[5, 12], [21, 32]]}
    assert told["json"] == answer
    assert told["binary"] == answer
    assert told["error"] == {
        "status": 404,
        "body": {"error": "unknown model 'other'; there is 'm'"},
    }
