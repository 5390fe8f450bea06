"""What the reference stacks do without, since nobody depends on a demonstration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdk_inference import ReadinessChecks

if TYPE_CHECKING:
    from aws_cdk import Stack

_REASONS: Final = {
    "WarmStrategy": "a demonstration may start cold",
    "ConcurrencyLimit": "a demonstration has an account to itself, and no traffic",
    "Release": "a demonstration has no traffic that a new version could disturb",
    "Alarms": "nobody is on call for a demonstration",
    "Dashboard": "nobody watches a demonstration",
    "Budget": "a demonstration is deleted after it was seen",
}


def demonstrate(stack: Stack, *shown: str) -> None:
    """Acknowledge the lines of the readiness checklist that are for stacks with users.

    Args:
        stack: the demonstration.
        shown: the lines that it fulfils nevertheless, because they are what it shows.
    """
    for rule, reason in _REASONS.items():
        if rule not in shown:
            ReadinessChecks.acknowledge(stack, rule, reason)
