"""The Runtime API loop under AWS's own emulator, in both of its modes, beside ``awslambdaric``."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.contract.runtime_api import AWSLAMBDARIC, LOOP
from tests.rie.emulator import Emulator, emulated, managed_instance, namespaces_are_allowed
from tests.runtime import onnx_models as models

MEGABYTE = 1 << 20
ENDLESS = 1 << 50  # for models.counter()

needs_namespaces = pytest.mark.skipif(
    not namespaces_are_allowed(),
    reason="the emulator's Managed Instances mode needs user namespaces, and this user has none",
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"MODEL_URI": models.save(models.zeros(), tmp_path / "model.onnx")}


@pytest.fixture
def slow(tmp_path: Path) -> dict[str, str]:
    path = models.save(models.counter(), tmp_path / "model.onnx")
    return {"MODEL_URI": path, "AWS_LAMBDA_FUNCTION_TIMEOUT": "1"}


def http_event(count: int) -> dict[str, Any]:
    body = json.dumps({"features": [count]})
    return {"requestContext": {"http": {"method": "POST"}}, "rawPath": "/predict", "body": body}


@pytest.mark.parametrize("client", [AWSLAMBDARIC, LOOP], ids=["awslambdaric", "loop"])
def test_it_answers_every_form_of_event(environ: dict[str, str], client: tuple[str, ...]) -> None:
    with emulated(environ, client) as emulator:
        direct = emulator.invoke({"features": [2]})
        bad = emulator.invoke({"features": ["2"]})
        http = emulator.invoke(http_event(2))
        ours = emulator.invoke({"features": [ENDLESS]})
    assert direct == {"predictions": [0.0, 0.0], "model_version": "1"}
    assert bad["error"]["code"] == "INVALID_INPUT"
    assert (http["statusCode"], json.loads(http["body"])) == (200, direct)
    assert (ours["errorType"], ours["errorMessage"]) == (
        "ModelFailed",
        "the model ran out of memory",
    )


def test_large_answers_are_refused_before_lambda_does(environ: dict[str, str]) -> None:
    with emulated(environ, LOOP) as emulator:
        assert emulator.invoke(http_event(2 * MEGABYTE))["statusCode"] == 413
        just_fits = emulator.invoke({"features": [1_572_000]})
    assert len(just_fits["predictions"]) == 1_572_000


def test_the_emulator_takes_streams(environ: dict[str, str]) -> None:
    with emulated({**environ, "INFERENCE_INVOKE_MODE": "RESPONSE_STREAM"}, LOOP) as emulator:
        prelude, _, body = emulator.invoke_raw(http_event(2)).partition(bytes(8))
    assert json.loads(prelude) == {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
    }
    assert json.loads(body)["predictions"] == [0.0, 0.0]


def test_a_run_is_ended_before_the_emulator_ends_the_process(slow: dict[str, str]) -> None:
    with emulated(slow, LOOP) as emulator:
        assert emulator.invoke(http_event(ENDLESS))["statusCode"] == 504
        assert emulator.invoke(http_event(3))["statusCode"] == 200


@needs_namespaces
def test_a_managed_instance_runs_invocations_at_the_same_time_in_one_process(
    slow: dict[str, str], tmp_path: Path
) -> None:
    # This mode's deadlines are milliseconds times a million, so here it does not end the run.
    with managed_instance(slow, LOOP, 4, tmp_path) as emulator, ThreadPoolExecutor(3) as pool:
        long = [pool.submit(emulator.invoke_raw, http_event(ENDLESS)) for _ in range(3)]
        assert emulator.invoke({"features": [3]})["predictions"] == [3]
        assert not any(future.done() for future in long)
        assert len(processes_below(emulator)) == 1


@needs_namespaces
def test_a_managed_instance_keeps_answers_apart(environ: dict[str, str], tmp_path: Path) -> None:
    with managed_instance(environ, LOOP, 4, tmp_path) as emulator, ThreadPoolExecutor(8) as pool:
        counts = list(range(200))
        answers = pool.map(lambda count: emulator.invoke({"features": [count]}), counts)
        assert [len(answer["predictions"]) for answer in answers] == counts


def processes_below(emulator: Emulator) -> list[int]:
    found, waiting = [], [emulator.pid]
    while waiting:
        parent = waiting.pop()
        tasks = Path(f"/proc/{parent}/task").glob("*/children")
        children = [int(child) for task in tasks for child in task.read_text().split()]
        found += children
        waiting += children
    return found
