"""Finds out which memory size serves a function best."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import CfnOutput
from aws_cdk import aws_sam as sam

from cdk_inference.aws.inference_function import InferenceFunction
from cdk_inference.aws.ml_inference_function import MLInferenceFunction
from cdk_inference.aws.tokens import are_known
from cdk_inference.limits import LAMBDA_MEMORY
from cdk_inference.memory import least_memory_mb
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_lambda as lambda_

_APPLICATION: Final = (
    "arn:aws:serverlessrepo:us-east-1:451282441545:applications/aws-lambda-power-tuning"
)
# The first on Node.js 22: https://github.com/alexcasalboni/aws-lambda-power-tuning
_VERSION: Final = "4.4.0"

_LEAST_INVOCATIONS: Final = 5
# Of a command that somebody copies.
_PAYLOAD_BYTES: Final = 4 * 2**10

# Half a vCPU, then whole ones, up to the most.
_MEMORY_SIZES_MB: Final = (885, 1_769, 3_538, 5_307, 7_076, 8_845, 10_240)


class PowerTuning(Construct):
    """AWS Lambda Power Tuning, which measures a function's time and cost at several memory sizes.

    It is an application of the AWS Serverless Application Repository, deployed as a nested stack,
    that may do what it needs with this function only (and others whose names begin with its name).
    Nothing runs before you start it with one of the outputs: it then publishes a version for each
    size, invokes it with ``payload``, and removes it. The alias ``live`` and its callers see none
    of that. Put what it finds best into ``memory_size``.

    Costs nothing until it is started; then the invocations and a few cents for the workflow.

    Args:
        function: what is measured: its ``$LATEST``, as deployed.
        payload: what each invocation is asked, as the runtime takes it on direct invocation:
            ``{"features": […]}``. Up to 4 KB in JSON.
        memory_sizes_mb: what is compared. Default: 885 MB, which is half a vCPU, whole vCPUs from
            1,769 MB on, and 10,240 MB, as far as the model fits. Accounts that are new may have
            3,008 MB at most.
        invocations: of each size, 5 at least, one after the other. Default: 50, of which the
            slowest and the fastest fifth do not count.

    Attributes:
        application: the nested stack.

    Raises:
        ConfigurationError: sizes that Lambda or the model does not allow, or too large a payload.

    Example:
        >>> PowerTuning(stack, "Tuning", function=function, payload={"features": [0.0] * 64})
    """

    application: Final[sam.CfnApplication]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: InferenceFunction | lambda_.IFunction,
        payload: Mapping[str, Any],
        memory_sizes_mb: Sequence[int] | None = None,
        invocations: int = 50,
    ) -> None:
        super().__init__(scope, id)
        least_mb = _least_memory_mb(function)
        sizes = memory_sizes_mb or [size for size in _MEMORY_SIZES_MB if size >= least_mb]

        problems = Problems(self.node.path)
        _check_sizes(sizes, least_mb, problems)
        _check_payload(payload, problems)
        _check_invocations(invocations, problems)
        problems.raise_if_any()

        measured = function.function if isinstance(function, InferenceFunction) else function
        self.application = sam.CfnApplication(
            self,
            "Application",
            location=sam.CfnApplication.ApplicationLocationProperty(
                application_id=_APPLICATION, semantic_version=_VERSION
            ),
            parameters={
                # One ARN for the function, its versions and its aliases.
                "lambdaResource": f"{measured.function_arn}*",
                "PowerValues": ",".join(str(size) for size in sizes),
                "totalExecutionTimeout": "900",
            },
        )
        request = {
            "lambdaARN": measured.function_arn,
            "powerValues": list(sizes),
            "num": invocations,
            "payload": payload,
            "strategy": "balanced",
            "includeOutputResults": True,
        }
        self._output("TuneCommand", request, "Measures requests at each memory size")
        self._output(
            "TuneColdStartsCommand",
            request | {"onlyColdStarts": True},
            "Measures starts at each memory size",
        )

    def _output(self, id: str, request: Mapping[str, Any], description: str) -> None:
        machine = self.application.get_att("Outputs.StateMachineARN").to_string()
        # A quote would end the input in a shell; in JSON it has another name.
        quoted = json.dumps(request).replace("'", r"\u0027")
        CfnOutput(
            self,
            id,
            value=f"aws stepfunctions start-execution --state-machine-arn {machine}"
            f" --input '{quoted}'",
            description=f"{description}; the execution's output has the results",
        )


def _least_memory_mb(function: InferenceFunction | lambda_.IFunction) -> int:
    if isinstance(function, MLInferenceFunction):
        return max(LAMBDA_MEMORY.minimum, least_memory_mb(function.model.size_bytes))
    return LAMBDA_MEMORY.minimum


def _check_sizes(sizes: Sequence[int], least_mb: int, problems: Problems) -> None:
    if not problems.check_known("memory_sizes_mb", are_known(*sizes)):
        return
    for size in sizes:
        problems.check_within("memory_sizes_mb", size, LAMBDA_MEMORY)
        if LAMBDA_MEMORY.minimum <= size < least_mb:
            problems.add(
                f"memory_sizes_mb has {size}",
                allowed=f"the model needs {least_mb} MB at least",
                remedy="leave it out",
            )
    if len(set(sizes)) < 2:
        problems.add(
            f"memory_sizes_mb has {len(set(sizes))} sizes",
            allowed="it takes 2 to compare",
            remedy="give more, or leave it out",
        )


def _check_invocations(invocations: int, problems: Problems) -> None:
    if not problems.check_known("invocations", are_known(invocations)):
        return
    if invocations < _LEAST_INVOCATIONS:
        problems.add(
            f"invocations is {invocations}",
            allowed=f"AWS Lambda Power Tuning takes {_LEAST_INVOCATIONS} or more",
            remedy="leave it out for 50",
        )


def _check_payload(payload: Mapping[str, Any], problems: Problems) -> None:
    size = len(json.dumps(payload).encode())
    if size > _PAYLOAD_BYTES:
        problems.add(
            f"payload has {size} bytes in JSON",
            allowed=f"a command carries {_PAYLOAD_BYTES} here",
            remedy="give a smaller one, and start the state machine with payloadS3 for the large:"
            " https://github.com/alexcasalboni/aws-lambda-power-tuning",
        )
