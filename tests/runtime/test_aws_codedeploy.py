"""The hook that asks a new version known questions, and tells CodeDeploy what it found."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.adapters import aws_clients, aws_codedeploy
from inference_runtime.adapters.aws_codedeploy import differences, handler
from inference_runtime.errors import AwsCallFailed

VERSION = "arn:aws:lambda:us-east-1:123456789012:function:digits:8"
EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}
TEST = {
    "request": {"features": [1, 2]},
    "answer": {"predictions": {"label": 3, "probabilities": [0.25, 0.75]}},
    "tolerance": 0.01,
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class Aws:
    """AWS Lambda and CodeDeploy, as boto3 has them.

    Attributes:
        answer: of the version: its payload, and its error if it has one.
        invocations: what the version was asked.
        statuses: what CodeDeploy was told.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Any], tuple[Any, str]] = lambda _request: (TEST["answer"], "")
        self.invocations: list[tuple[str, Any]] = []
        self.statuses: list[dict[str, str]] = []

    def invoke(self, **arguments: str) -> dict[str, Any]:
        request = json.loads(arguments["Payload"])
        self.invocations.append((arguments["FunctionName"], request))
        answer, error = self.answer(request)
        failed = {"FunctionError": error} if error else {}
        return {"Payload": BytesIO(json.dumps(answer).encode()), **failed}

    def put_lifecycle_event_hook_execution_status(self, **status: str) -> None:
        self.statuses.append(status)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Aws:
    emulated = Aws()
    monkeypatch.setattr(aws_clients, "_clients", {"lambda": emulated, "codedeploy": emulated})
    monkeypatch.setenv("SMOKE_TEST_TARGET", VERSION)
    tests = tmp_path / "smoke_tests.json"
    tests.write_text(json.dumps([TEST]))
    monkeypatch.setattr(aws_codedeploy, "_file", lambda: tests)
    return emulated


def told(aws: Aws) -> str:
    handler(EVENT, None)
    (status,) = aws.statuses
    assert (status["deploymentId"], status["lifecycleEventHookExecutionId"]) == ("d-1", "e-1")
    return status["status"]


def test_the_version_answers_as_expected(aws: Aws) -> None:
    almost = {"predictions": {"label": 3, "probabilities": [0.254, 0.746]}, "model_version": "2"}
    aws.answer = lambda _request: (almost, "")
    assert told(aws) == "Succeeded"
    assert aws.invocations == [(VERSION, {"features": [1, 2]})]


@pytest.mark.parametrize(
    ("answer", "error", "difference"),
    [
        (
            {"predictions": {"label": 3, "probabilities": [0.3, 0.7]}},
            "",
            "answer.predictions.probabilities[0] is 0.3 and not 0.25",
        ),
        ({"error": {"code": "INVALID_INPUT"}}, "", "answer.predictions is missing"),
        ({"errorMessage": "no"}, "Unhandled", 'the version failed: {"errorMessage": "no"}'),
    ],
    ids=["another number", "refused", "failed"],
)
def test_any_other_answer_ends_the_deployment(
    aws: Aws, answer: Any, error: str, difference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.answer = lambda _request: (answer, error)
    assert told(aws) == "Failed"
    failed, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert failed["differences"][0] == difference
    assert (summary["tests"], summary["failed"]) == (1, 1)


def test_what_cannot_be_asked_ends_the_deployment(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SMOKE_TEST_TARGET")
    assert told(aws) == "Failed"
    assert "SMOKE_TEST_TARGET is not set" in json.loads(capsys.readouterr().out)["traceback"]


def test_an_answer_that_codedeploy_does_not_take_is_an_error(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(service: str, operation: str, **_: Any) -> Any:
        if service == "codedeploy":
            raise AwsCallFailed("codedeploy: no")
        return {"Payload": BytesIO(json.dumps(TEST["answer"]).encode())}

    monkeypatch.setattr(aws_clients, "call", refuse)
    with pytest.raises(AwsCallFailed):
        handler(EVENT, None)


@given(JSON)
def test_whatever_is_the_same_does_not_differ(value: Any) -> None:
    assert list(differences(value, value, 0)) == []


@given(JSON, JSON)
def test_members_beyond_the_expected_are_allowed(value: Any, other: Any) -> None:
    assert list(differences({"a": value}, {"a": value, "b": other}, 0)) == []


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        (True, 1),
        (1, True),
        (1, "1"),
        (None, 0),
        ([1], [1, 1]),
        ([1], {"0": 1}),
        ({"a": 1}, [1]),
        ({}, None),
        ("3", "4"),
        (1.0, 1.02),
        (-100, -102),
        (float("inf"), 1e300),
    ],
)
def test_other_values_and_types_differ(expected: Any, answer: Any) -> None:
    assert len(list(differences(expected, answer, 0.01))) == 1


@pytest.mark.parametrize(("expected", "answer"), [(1, 1.0), (0, 0.009), (1000, 1009), (-1, -1.009)])
def test_numbers_may_be_as_far_apart_as_the_tolerance(expected: float, answer: float) -> None:
    assert list(differences(expected, answer, 0.01)) == []


def test_a_large_difference_is_told_shortly() -> None:
    (difference,) = differences([], "a" * 1000, 0)
    assert len(difference) < 120
