"""What can be checked of a function only when everything was added to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import jsii
from aws_cdk import CfnResource, Reference, Stack, Tokenization
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs

from cdk_inference.aws.environment import check_environment_size
from cdk_inference.aws.initialization import check_provisioned_init
from cdk_inference.aws.provisioned_warm_pool import ProvisionedWarmPool
from cdk_inference.aws.tokens import are_known
from cdk_inference.aws.unzipped_size import unzipped_bytes
from cdk_inference.aws.warnings import warn
from cdk_inference.context import is_local
from cdk_inference.limits import (
    LAMBDA_UNZIPPED_BYTES,
    SQS_DEFAULT_VISIBILITY_SECONDS,
    SQS_VISIBILITY_TIMEOUTS,
)
from cdk_inference.validation import Problems
from constructs import IValidation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from constructs import IConstruct


@jsii.implements(IValidation)
class CompleteFunction:
    """A check at synth of variables, layers, queues and warm pools, which may be added later.

    Args:
        function: what they were added to.
    """

    def __init__(self, function: MLInferenceFunction) -> None:
        self._function = function

    def validate(self) -> list[str]:
        """What is wrong, as the CDK asks for it."""
        problems = Problems(self._function.node.path)
        function = self._function.function.node.default_child
        properties = _properties(cast("lambda_.CfnFunction", function))
        check_environment_size(properties.get("environment", {}).get("variables", {}), problems)
        self._check_layers(properties, problems)
        self._check_queues(problems)
        if isinstance(self._function.warm_capacity, ProvisionedWarmPool):
            check_provisioned_init(self._function, problems)
        return problems.found

    def _check_layers(self, properties: dict[str, Any], problems: Problems) -> None:
        arns = properties.get("layers", [])
        # Its own are checked when it is made; a stack is searched for others only then.
        if len(arns) <= len(_layers_below(self._function)):
            return
        in_stack = _layers_below(Stack.of(self._function))
        layers = [layer for arn, layer in in_stack if arn in arns]
        self._check_architecture(layers, problems)
        self._check_size(layers, properties["code"], problems)

    def _check_architecture(
        self, layers: list[lambda_.CfnLayerVersion], problems: Problems
    ) -> None:
        architecture = self._function.function.architecture.name
        for layer in layers:
            compatible = layer.compatible_architectures
            if compatible and architecture not in compatible:
                problems.add(
                    f"the layer {layer.node.path} is for {', '.join(compatible)}",
                    allowed=f"the function runs on {architecture}",
                    remedy="build the layer for that, or give the function another architecture",
                )

    def _check_size(
        self,
        layers: list[lambda_.CfnLayerVersion],
        code: dict[str, Any],
        problems: Problems,
    ) -> None:
        contents = [_properties(layer)["content"] for layer in layers]
        size = unzipped_bytes(self._function, [item.get("s3Key") for item in [code, *contents]])
        if size > LAMBDA_UNZIPPED_BYTES and not is_local(self._function):
            problems.add(
                f"code and layers have {size / 2**20:.0f} MB unzipped",
                allowed=f"Lambda allows {LAMBDA_UNZIPPED_BYTES / 2**20:.0f}",
                remedy="use Packaging.IMAGE, or leave something out of the layers",
            )

    def _check_queues(self, problems: Problems) -> None:
        timeout = self._function.timeout
        if timeout.is_unresolved():
            return
        seconds = timeout.to_seconds()
        for queue in _queues(self._function):
            visibility = queue.visibility_timeout
            if visibility is None:
                visibility = SQS_DEFAULT_VISIBILITY_SECONDS
            if not are_known(visibility):
                continue
            given = f"the queue {queue.node.path} hides a message for {visibility:g} seconds"
            enough = SQS_VISIBILITY_TIMEOUTS * seconds
            remedy = f"give the queue visibility_timeout=Duration.seconds({enough:g})"
            if visibility < seconds:
                problems.add(
                    given,
                    allowed=f"Lambda takes no less than the function's timeout, {seconds:g}",
                    remedy=remedy,
                )
            elif visibility < enough:
                warn(
                    self._function,
                    "visibilityTimeout",
                    given,
                    allowed=f"AWS asks for {SQS_VISIBILITY_TIMEOUTS} times the function's timeout,"
                    " or messages are predicted twice when they are tried again",
                    remedy=remedy,
                )


def _queues(function: MLInferenceFunction) -> Iterator[sqs.CfnQueue]:
    """Those that were added to the function or its alias as event sources."""
    for construct in function.node.find_all():
        if isinstance(construct, lambda_.CfnEventSourceMapping) and construct.event_source_arn:
            queue = _target(construct.event_source_arn)
            if isinstance(queue, sqs.CfnQueue):
                yield queue


def _layers_below(scope: IConstruct) -> list[tuple[Any, lambda_.CfnLayerVersion]]:
    """Each with the reference to it, as the template has it."""
    stack = Stack.of(scope)
    return [
        (stack.resolve(construct.ref), construct)
        for construct in scope.node.find_all()
        if isinstance(construct, lambda_.CfnLayerVersion)
    ]


def _properties(resource: CfnResource) -> dict[str, Any]:
    """As they are in the template.

    The typed ones do not show what the CDK works out at last; the untyped ones are protected.
    """
    resolved: dict[str, Any] = Stack.of(resource).resolve(resource._cfn_properties)
    return resolved


def _target(token: str) -> IConstruct | None:
    """What ``token`` refers to, in whatever stack; ``None`` for what is no reference."""
    if are_known(token):
        return None
    parts = Tokenization.reverse_string(token).tokens
    reference = parts[0] if len(parts) == 1 else None
    return reference.target if isinstance(reference, Reference) else None
