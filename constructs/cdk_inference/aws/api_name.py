"""The name of an API, of either kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Names

if TYPE_CHECKING:
    from constructs import Construct


def api_name(scope: Construct) -> str:
    """A name that no other API of the app has, for the one in ``scope``."""
    return Names.unique_resource_name(scope, max_length=128, separator="-")
