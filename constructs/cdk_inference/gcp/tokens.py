"""Values that only a deployment knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdk_inference.gcp.bindings import Bindings


def are_known(bindings: Bindings, *values: object) -> bool:
    """Whether none of ``values`` is a token, so that they can be compared and counted with."""
    return not any(bindings.core.Token.is_unresolved(value) for value in values)
