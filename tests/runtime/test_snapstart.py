"""SnapStart: a copy of a snapshotted process answers right, and shares no random numbers."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import snapshot_restore_py as registry
from inference_runtime.adapters import snapstart

from tests.contract.runtime_api import AWSLAMBDARIC, LOOP, PREFIX, lambda_client
from tests.runtime import onnx_models as models
from tests.runtime.conftest import ReadLog

# Lambda copies the whole machine; a fork copies all of a process but its other threads, and Python
# gives each child another seed, which Lambda does not.
COPIES = """
import json, os, random, sys
from inference_runtime.adapters import snapstart
from inference_runtime.serving import start

plane = start()
random.random()

def copy_twice():
    sockets = [fd for fd in os.listdir("/proc/self/fd") if is_socket(fd)]
    assert sockets == [], "a connection would be shared by all copies"
    state = random.getstate()
    if os.fork() and os.fork():
        os.wait(), os.wait()
        os._exit(0)
    random.setstate(state)

def is_socket(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except FileNotFoundError:
        return False

snapstart.go_through(copy_twice)
answer = plane.invoke({"features": [2]}, "id-1")
line = json.dumps({"drawn": random.random(), "answer": answer}) + "\\n"
os.write(1, line.encode())
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    path = models.save(models.zeros(), tmp_path / "model.onnx")
    return {"MODEL_URI": path, "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_before_snapshot_registry", [])
    monkeypatch.setattr(registry, "_after_restore_registry", [])


def test_copies_answer_alike_and_share_neither_random_numbers_nor_connections(
    environ: dict[str, str], collector: tuple[str, set[bytes]]
) -> None:
    url, traces = collector
    tracing = {"INFERENCE_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url}
    output = subprocess.run(
        [sys.executable, "-c", COPIES],
        env={**os.environ, **environ, **tracing, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    first, second = (line for line in lines if "drawn" in line)
    assert first["drawn"] != second["drawn"]
    assert first["answer"] == second["answer"] == {"predictions": [0, 0], "model_version": "1"}
    assert len(traces) == 2
    assert len([line for line in lines if line.get("message") == "restored"]) == 2
    assert [line["cold_start"] for line in lines if line.get("message") == "request"] == [True] * 2


@pytest.mark.usefixtures("empty_registry")
def test_the_managed_runtime_calls_both_hooks(read_log: ReadLog) -> None:
    snapstart.register()
    ((before, *_),) = registry.get_before_snapshot()
    before()
    random.seed(1)
    np.random.seed(1)
    ((after, arguments, options),) = registry.get_after_restore()
    after(*arguments, **options)
    drawn = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    assert not {*drawn} & {random.random(), np.random.random()}
    (line,) = read_log()
    assert line["message"] == "restored"
    assert 0 <= line["snapshot_age_s"] < 60


@pytest.mark.usefixtures("empty_registry")
def test_our_own_loop_calls_the_hooks_of_a_pipeline_too() -> None:
    order: list[str] = []
    for hook in ("second before", "first before"):
        registry.register_before_snapshot(order.append, hook)
    for hook in ("first after", "second after"):
        registry.register_after_restore(order.append, hook)
    snapstart.go_through(lambda: order.append("copied"))
    assert order == ["first before", "second before", "copied", "first after", "second after"]


@pytest.mark.parametrize("client", [AWSLAMBDARIC, LOOP], ids=["awslambdaric", "loop"])
def test_both_clients_answer_from_a_copy(
    environ: dict[str, str], client: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    with lambda_client(environ, client) as api:
        outcome = api.invoke({"features": [2]}, "id-1")
    assert outcome.payload["predictions"] == [0.0, 0.0]
    restore = api.requests.index(f"GET {PREFIX}/restore/next")
    assert restore < api.requests.index(f"GET {PREFIX}/invocation/next")
    messages = [json.loads(line)["message"] for line in capfd.readouterr().out.splitlines()]
    assert messages == ["ready", "restored", "request"]


def test_without_snap_start_nothing_of_it_is_loaded(environ: dict[str, str]) -> None:
    code = "import inference_runtime.adapters.aws_lambda, sys; print(*sys.modules, sep='\\n')"
    environ = {**os.environ, **environ, "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
    output = subprocess.run(
        [sys.executable, "-c", code], env=environ, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert "inference_runtime.adapters.snapstart" not in output.split()
