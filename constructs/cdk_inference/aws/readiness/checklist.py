"""The rules in the order of the checklist, and how one is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Acknowledgment, Validations

from cdk_inference.aws.readiness import access, delivery, operations, serving, supply
from cdk_inference.validation import Problems

if TYPE_CHECKING:
    from constructs import IConstruct

PLUGIN: Final = "Readiness"
RULES: Final = {
    rule.id: rule
    for rules in (serving.RULES, operations.RULES, delivery.RULES, supply.RULES, access.RULES)
    for rule in rules
}


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Record in ``construct`` why what ``rule`` finds there or below is meant.

    Raises:
        ConfigurationError: there is no such rule, or no reason.
    """
    problems = Problems(construct.node.path)
    if rule not in RULES:
        problems.add(
            f"{rule!r} is acknowledged",
            allowed=f"the rules are {', '.join(RULES)}",
            remedy="name one of them",
        )
    if not reason.strip():
        problems.add(
            f"{rule!r} is acknowledged without a reason",
            allowed="whoever reads the report wants to know why",
            remedy="give one",
        )
    problems.raise_if_any()
    Validations.of(construct).acknowledge(Acknowledgment(id=f"{PLUGIN}::{rule}", reason=reason))
