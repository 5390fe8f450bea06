"""The environment variables of a service that serves a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdk_inference.limits import CLOUD_RUN_RESERVED_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdk_inference.validation import Problems


def check_names(users: Iterable[str], own: Mapping[str, str], problems: Problems) -> None:
    """Record a problem for each variable that a user may not set.

    Args:
        users: the names that were given, of variables and of secrets.
        own: what the construct sets, and nobody else may.
        problems: where to.
    """
    for name in users:
        if name in own:
            problems.add(
                f"environment sets {name}",
                allowed="the construct sets that itself",
                remedy="leave it out: it follows from the construct's other arguments",
            )
        elif name in CLOUD_RUN_RESERVED_ENVIRONMENT:
            problems.add(
                f"environment sets {name}",
                allowed="Cloud Run reserves that for itself",
                remedy="choose another name",
            )
