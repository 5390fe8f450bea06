"""Known questions for a new version, and the function that asks them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs

from cdk_inference.artifact import hook_archive
from cdk_inference.aws.nag import acknowledge, resource_finding
from cdk_inference.aws.tokens import are_known
from cdk_inference.contract import AWS_CODEDEPLOY_HANDLER, SMOKE_TEST_TARGET
from cdk_inference.limits import (
    LAMBDA_DEFAULT_PYTHON,
    LAMBDA_REQUEST_BYTES,
    LAMBDA_TIMEOUT,
)
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.validation import Problems

_MEMORY_MB: Final = 256


@dataclass(frozen=True)
class SmokeTest:
    """A request whose answer is known.

    Attributes:
        request: as a direct invocation of the function takes it: the simple form, or an inference
            request of the Open Inference Protocol.
        answer: what must be in the answer; further members may be there.
        tolerance: how far numbers may be from ``answer``: absolute up to 1, relative above.
            Default: 0.001, more than another processor's arithmetic makes of a float32.

    Example:
        >>> SmokeTest({"features": [5.1, 3.5, 1.4, 0.2]}, {"predictions": {"label": 0}})
    """

    request: Mapping[str, Any]
    answer: Mapping[str, Any]
    tolerance: float = 1e-3


class SmokeTestHook(Construct):
    """A function that CodeDeploy calls before a new version gets any traffic.

    It asks that version each question, and reports whether all answers are as expected.

    Args:
        function: whose new version is asked.
        tests: the questions.

    Attributes:
        function: the hook itself, allowed to invoke the other function's versions, to write its
            logs, and, once CodeDeploy has it, to report.
    """

    function: Final[lambda_.Function]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: MLInferenceFunction,
        tests: Sequence[SmokeTest],
    ) -> None:
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self,
            "LogGroup",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        versions = f"{function.function.function_arn}:*"
        role.add_to_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[versions])
        )
        acknowledge(
            role,
            resource_finding(self, versions),
            "a version has its number when it is published; with it, the policy would change at the"
            " very moment at which it is needed",
        )
        self.function = lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_asset(str(hook_archive(_as_json(tests)).path)),
            handler=AWS_CODEDEPLOY_HANDLER,
            runtime=lambda_.Runtime(f"python{LAMBDA_DEFAULT_PYTHON}", lambda_.RuntimeFamily.PYTHON),
            memory_size=_MEMORY_MB,
            timeout=Duration.seconds(LAMBDA_TIMEOUT.maximum),
            role=role,
            log_group=log_group,
            environment={SMOKE_TEST_TARGET: function.function.current_version.function_arn},
            description=f"Asks new versions of {function.title} known questions",
        )
        acknowledge(self.function, "L1", "the code is tested with this Python")


def check_smoke_tests(tests: Sequence[SmokeTest], problems: Problems) -> None:
    """Record whatever cannot be asked or compared."""
    for index, test in enumerate(tests):
        _check(f"smoke_tests[{index}]", test, problems)


def _check(name: str, test: SmokeTest, problems: Problems) -> None:
    if not test.answer:
        problems.add(
            f"{name}.answer is empty",
            allowed="then every answer is right",
            remedy="give at least one member of the answer, such as its predictions",
        )
    if not 0 <= test.tolerance < float("inf"):
        problems.add(
            f"{name}.tolerance is {test.tolerance:g}",
            allowed="it is a distance, from 0",
            remedy="give a small number such as 0.001",
        )
    try:
        request = json.dumps(test.request, allow_nan=False)
        answer = json.dumps(test.answer, allow_nan=False)
    except (TypeError, ValueError) as error:
        problems.add(
            f"{name} is no JSON ({error})",
            allowed="requests and answers are sent as JSON",
            remedy="use numbers, texts, lists and dictionaries (of an array, its tolist())",
        )
        return
    problems.check_known(name, are_known(request, answer))
    size = len(request.encode())
    if size > LAMBDA_REQUEST_BYTES:
        problems.add(
            f"{name}.request has {size / 2**20:.1f} MB",
            allowed=f"Lambda takes {LAMBDA_REQUEST_BYTES // 2**20}",
            remedy="ask something shorter",
        )


def _as_json(tests: Sequence[SmokeTest]) -> str:
    return json.dumps(
        [
            {"request": test.request, "answer": test.answer, "tolerance": test.tolerance}
            for test in tests
        ]
    )
