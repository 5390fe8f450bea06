"""What works and is seldom meant, told when the app is synthesized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Annotations

from cdk_inference.validation import sentence

if TYPE_CHECKING:
    from constructs import IConstruct


def warn(construct: IConstruct, name: str, given: str, *, allowed: str, remedy: str) -> None:
    """Have the CDK print a warning, which ``cdk synth --strict`` takes for an error.

    Args:
        construct: what it is about.
        name: the warning's own: whoever means it acknowledges ``cdk-inference:<name>``.
        given: what is configured.
        allowed: what would be better, and why.
        remedy: what to do.

    Example:
        >>> Annotations.of(function).acknowledge_warning("cdk-inference:memory", "measured to fit")
    """
    message = sentence(given, allowed, remedy)
    Annotations.of(construct).add_warning_v2(f"cdk-inference:{name}", message)
