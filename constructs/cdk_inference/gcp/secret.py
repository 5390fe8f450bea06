"""Secrets in a service's environment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Secret:
    """A version of a secret in Secret Manager, as the value of an environment variable.

    Attributes:
        name: of the secret, or ``projects/PROJECT/secrets/NAME`` for one of another project.
        version: its version. ``latest`` is read when an instance starts, so that instances can
            differ; a number is the same for all.

    Example:
        >>> Secret("cache-password", version="3")
        Secret(name='cache-password', version='3')
    """

    name: str
    version: str
