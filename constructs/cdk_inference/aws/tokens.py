"""Values that only a deployment knows."""

from __future__ import annotations

from aws_cdk import Token


def are_known(*values: object) -> bool:
    """Whether none of ``values`` is a token, so that they can be compared and counted with."""
    return not any(Token.is_unresolved(value) for value in values)
