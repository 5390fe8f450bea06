"""What cdk-nag finds in a construct, and why it is meant to be so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, Validations

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
