"""``inference-runtime batch`` over a bucket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inference_runtime.batch import job
from inference_runtime.batch.gcs_folder import _Store
from inference_runtime.errors import BatchFailed, ModelNotLoaded
from inference_runtime.models import reader
from inference_runtime.settings import PLATFORM_VARIABLES, Settings

from tests.runtime.batch.gcs_server import GcsServer

INPUT = "bucket/in/"
OUTPUT = "bucket/in-results/"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    monkeypatch.setattr(reader, "_delay", lambda _failures: 0)
    with GcsServer() as running:
        yield running


@pytest.fixture
def run(server: GcsServer, model: str, tmp_path: Path) -> Any:
    """Runs a task of ``gs://bucket/in/``."""

    def _run(index: int = 0, tasks: int = 1, **environ: str) -> None:
        given = {
            "MODEL_URI": model, "INFERENCE_BATCH_INPUT": f"gs://{INPUT}",
            "STORAGE_EMULATOR_HOST": server.url, "INFERENCE_CACHE_DIR": str(tmp_path),
            "CLOUD_RUN_TASK_INDEX": str(index), "CLOUD_RUN_TASK_COUNT": str(tasks), **environ,
        }  # fmt: skip
        job.run(Settings.read(given))

    return _run


def fill(server: GcsServer, count: int = 8) -> None:
    for index in range(count):
        request = json.dumps({"features": [index, 1]})
        server.put(f"{INPUT}day {index % 2}/{index}.jsonl", f"{request}\n".encode())


def answered(server: GcsServer) -> dict[str, Any]:
    start = f"{OUTPUT}results/"
    return {
        name.removeprefix(start): server.content(name)["answer"]["predictions"]
        for name in server.objects
        if name.startswith(start)
    }


def test_tasks_answer_every_object_once(server: GcsServer, run: Any, tmp_path: Path) -> None:
    fill(server)
    server.put(f"{INPUT}empty.jsonl", b"")
    server.put(f"{INPUT}folder/", b"")
    server.put("bucket/input-of-another.jsonl", b"{}")
    for index in range(3):
        run(index, tasks=3)
    inputs = [name for name in server.reads if name.startswith(INPUT)]
    assert len(inputs) == len(set(inputs)) == 8, "and nothing of what is empty is asked for"
    assert server.objects.pop(f"{OUTPUT}results/empty.jsonl")[1] == b""
    assert answered(server) == {f"day {i % 2}/{i}.jsonl": [10.0 * i, 10.0] for i in range(8)}
    manifest = server.content(f"{OUTPUT}manifest.json")
    assert (manifest["input"], manifest["records"]) == (f"gs://{INPUT}", 8)
    assert len(manifest["files"]) == 9
    assert list(tmp_path.iterdir()) == [], "nothing of what was fetched is left"


def test_what_is_done_is_not_read_again_unless_it_has_changed(server: GcsServer, run: Any) -> None:
    fill(server)
    run()
    before = server.content(f"{OUTPUT}manifest.json")
    server.reads.clear()
    run()
    assert [name for name in server.reads if name.startswith(INPUT)] == []
    assert server.content(f"{OUTPUT}manifest.json") == before
    server.put(f"{INPUT}day 1/3.jsonl", b'{"features": [7, 7]}')
    run()
    assert [name for name in server.reads if name.startswith(INPUT)] == [f"{INPUT}day 1/3.jsonl"]
    assert answered(server)["day 1/3.jsonl"] == [70.0, 70.0]


def test_an_upload_is_tried_again(server: GcsServer, run: Any) -> None:
    fill(server, 1)
    refusals = [503, 429]
    server.refuse = lambda method, _: refusals.pop() if method == "POST" and refusals else 0
    run()
    assert server.content(f"{OUTPUT}manifest.json")["unfinished"] == 0


def test_an_object_that_is_refused_is_told_and_the_others_answered(
    server: GcsServer, run: Any
) -> None:
    fill(server)
    server.refuse = lambda method, name: 403 if (method, name[-7:]) == ("GET", "0.jsonl") else 0
    with pytest.raises(BatchFailed, match=r"1 of 8 inputs are not done.* is refused \(403"):
        run()
    assert len(answered(server)) == 7
    assert server.content(f"{OUTPUT}manifest.json")["unfinished"] == 1


def test_results_that_may_not_be_written_are_told(server: GcsServer, run: Any) -> None:
    fill(server, 1)
    server.refuse = lambda method, _: 403 if method == "POST" else 0
    with pytest.raises(
        ModelNotLoaded, match=r"in-results/.* is refused .*\(roles/storage.objectUser"
    ):
        run()


@pytest.mark.parametrize("uploads", [0, 3, 4, 16])
def test_a_task_that_is_killed_goes_on_to_the_same_result(
    server: GcsServer, run: Any, model: str, tmp_path: Path, uploads: int
) -> None:
    fill(server)
    run()
    whole = {name: one[1] for name, one in server.objects.items()}
    for name in [name for name in whole if name.startswith(OUTPUT)]:
        del server.objects[name]
    environ = {
        **os.environ, "MODEL_URI": model, "INFERENCE_BATCH_INPUT": f"gs://{INPUT}",
        "STORAGE_EMULATOR_HOST": server.url, "INFERENCE_CACHE_DIR": str(tmp_path),
        "INFERENCE_CONCURRENCY": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "inference_runtime.cli", "batch"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        left = [uploads]

        def kill(method: str, _name: str) -> int:
            left[0] -= method == "POST"
            if left[0] < 0:
                process.kill()
            return 0

        server.refuse = kill
        assert process.wait(60) == -signal.SIGKILL
    server.refuse = lambda _method, _name: 0
    server.reads.clear()
    run()
    assert {name: one[1] for name, one in server.objects.items()} == whole
    again = [name for name in server.reads if name.startswith(INPUT)]
    assert len(again) in (8 - uploads // 2, 7 - uploads // 2), "the last upload may have arrived"


def test_a_write_asks_for_a_token_that_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    scopes = []

    def token(_platform: object, scope: str) -> str:
        scopes.append(scope)
        return "secret"

    monkeypatch.setattr("inference_runtime.models.gcs._token", token)
    store = _Store("b", "f/", dict.fromkeys(PLATFORM_VARIABLES, ""))
    request = store.write_request("a b/c.json", b"{}")
    assert (request.method, request.body) == ("POST", b"{}")
    assert request.url == (
        "https://storage.googleapis.com/upload/storage/v1/b/b/o?uploadType=media&name=f%2Fa%20b%2Fc.json"
    )
    assert request.headers["authorization"] == "Bearer secret"
    assert scopes == ["https://www.googleapis.com/auth/devstorage.read_write"]
