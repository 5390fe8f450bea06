"""What cdk-nag finds in a construct, and why it is meant to be so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Acknowledgment, Stack, Validations

if TYPE_CHECKING:
    from constructs import IConstruct


def acknowledge(construct: IConstruct, finding: str, reason: str) -> None:
    """Record in ``construct`` why a finding of the AwsSolutions rules is no fault.

    Without cdk-nag in the app this changes nothing.

    Args:
        construct: the one that is found, or one above it.
        finding: the exact rule, and in brackets what is found where a rule has several findings.
        reason: why it is meant.

    Example:
        >>> acknowledge(role, "IAM5[Resource::*]", "xray:PutTraceSegments takes no resource")
    """
    Validations.of(construct).acknowledge(
        Acknowledgment(id=f"AwsSolutions::AwsSolutions-{finding}", reason=reason)
    )


def resource_finding(construct: IConstruct, arn: str) -> str:
    """The finding that a policy in ``construct`` allows something on ``arn``, with its wildcard.

    It names resources as cdk-nag does, by their logical ids; so ``arn`` must be of the same stack.

    Example:
        >>> resource_finding(role, bucket.arn_for_objects("*"))
        'IAM5[Resource::<ModelsBucket8B7F1C2A.Arn>/*]'
    """
    return f"IAM5[Resource::{_flat(Stack.of(construct).resolve(arn))}]"


def _flat(reference: Any) -> str:
    match reference:
        case {"Fn::Join": [delimiter, parts]}:
            return str(delimiter).join(map(_flat, parts))
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Ref": resource}:
            return f"<{resource}>"
        case _:
            return str(reference)
