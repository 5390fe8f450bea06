"""The context values that constructs read, beside the CDK's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from constructs import Construct

# Set by `cdk-inference local deploy`: the emulator runs functions in this machine's own Python and
# has no Docker engine.
LOCAL: Final = "cdk-inference:local"


def is_local(scope: Construct) -> bool:
    """Whether the app is synthesized for the emulator."""
    return scope.node.try_get_context(LOCAL) in (True, "true")
