"""What a rule of the checklist is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdk_inference.aws.readiness.application import Application, Resource


class Severity(Enum):
    """What a finding does to ``cdk synth``."""

    ERROR = "error"
    """It fails."""

    WARNING = "warning"
    """It tells, and goes on."""


@dataclass(frozen=True)
class Finding:
    """One resource that a rule has something against.

    Attributes:
        resource: which.
        location: the property that it is about, as CDK reports have it.
        given: what is so, and what was to be expected, as a sentence.
    """

    resource: Resource
    location: str
    given: str


@dataclass(frozen=True)
class Rule:
    """A line of the checklist.

    Attributes:
        id: its name, which stays.
        severity: of its findings.
        title: what it asks for.
        remedy: what to do about a finding.
        find: its findings in an app.
    """

    id: str
    severity: Severity
    title: str
    remedy: str
    find: Callable[[Application], Iterator[Finding]]
