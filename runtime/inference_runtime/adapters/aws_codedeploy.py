"""AWS CodeDeploy: a hook that asks a new version known questions before it gets any traffic.

The questions are in ``smoke_tests.json`` beside the package: a list of ``request``, the ``answer``
that is expected, and the ``tolerance`` of its numbers. ``SMOKE_TEST_TARGET`` is the ARN of the
version.

https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
"""

from __future__ import annotations

import json
from itertools import islice
from math import isclose
from pathlib import Path

import inference_runtime
from inference_runtime.adapters import aws_clients
from inference_runtime.settings import smoke_test_target
from inference_runtime.telemetry import log, log_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

SMOKE_TESTS_FILE: Final = "smoke_tests.json"

# As many as a reader takes in; a wrong model differs in every number.
_SHOWN: Final = 5


def handler(event: dict[str, Any], _context: object) -> None:
    """Ask every question, and tell CodeDeploy whether the deployment may go on.

    Args:
        event: CodeDeploy's.

    Raises:
        AwsCallFailed: CodeDeploy does not take the answer; it waits for an hour, and fails then.
    """
    status = "Failed"
    try:
        if _passes(smoke_test_target()):
            status = "Succeeded"
    except Exception as error:
        log_exception("smoke tests not finished", error)
    aws_clients.call(
        "codedeploy", "put_lifecycle_event_hook_execution_status",
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )  # fmt: skip


def differences(
    expected: Any, answer: Any, tolerance: float, where: str = "answer"
) -> Iterator[str]:
    """What is not in ``answer`` as ``expected`` has it; more members than that may be there.

    Args:
        expected: parsed JSON.
        answer: parsed JSON.
        tolerance: of numbers: absolute up to 1, relative above.
        where: the name of ``answer`` in the texts.
    """
    match expected:
        case dict() if isinstance(answer, dict):
            for name, value in expected.items():
                if name in answer:
                    yield from differences(value, answer[name], tolerance, f"{where}.{name}")
                else:
                    yield f"{where}.{name} is missing"
        case list() if isinstance(answer, list) and len(answer) == len(expected):
            for index, value in enumerate(expected):
                yield from differences(value, answer[index], tolerance, f"{where}[{index}]")
        case int() | float() if _is_number(expected) and _is_number(answer):
            if not isclose(answer, expected, rel_tol=tolerance, abs_tol=tolerance):
                yield f"{where} is {answer!r} and not {expected!r}"
        case _ if answer != expected or type(answer) is not type(expected):
            yield f"{where} is {_shortened(answer)} and not {_shortened(expected)}"


def _passes(version: str) -> bool:
    tests = json.loads(_file().read_bytes())
    failed = 0
    for index, test in enumerate(tests):
        found = list(islice(_failures(version, test), _SHOWN))
        if found:
            failed += 1
            log("ERROR", "smoke test failed", test=index, version=version, differences=found)
    log("INFO", "smoke tests", version=version, tests=len(tests), failed=failed)
    return not failed


def _failures(version: str, test: dict[str, Any]) -> Iterator[str]:
    result = aws_clients.call(
        "lambda", "invoke", FunctionName=version, Payload=json.dumps(test["request"])
    )
    content = result["Payload"].read()
    if "FunctionError" in result:
        yield f"the version failed: {content.decode(errors='replace')}"
    else:
        yield from differences(test["answer"], json.loads(content), test["tolerance"])


def _file() -> Path:
    return Path(inference_runtime.__file__).parents[1] / SMOKE_TESTS_FILE


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
