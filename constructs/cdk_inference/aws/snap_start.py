"""What Lambda SnapStart takes of a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jsii

from cdk_inference.limits import (
    LAMBDA_SNAP_START_EPHEMERAL_STORAGE_MB,
    LAMBDA_SNAP_START_PYTHON_VERSIONS,
)
from constructs import IValidation

if TYPE_CHECKING:
    from aws_cdk import Size
    from aws_cdk import aws_lambda as lambda_

    from cdk_inference.validation import Problems

_WITHOUT: Final = "leave WarmStrategy.snap_start() out"


def check_snap_start(python_version: str, ephemeral_storage: Size, problems: Problems) -> None:
    """Record whatever keeps a function with these from starting from snapshots."""
    if python_version not in LAMBDA_SNAP_START_PYTHON_VERSIONS:
        problems.add(
            f"python_version is {python_version!r}",
            allowed=f"SnapStart takes {', '.join(LAMBDA_SNAP_START_PYTHON_VERSIONS)}",
            remedy=f"choose one of them, or {_WITHOUT}",
        )
    most_mb = LAMBDA_SNAP_START_EPHEMERAL_STORAGE_MB
    if not ephemeral_storage.is_unresolved() and ephemeral_storage.to_bytes() > most_mb * 2**20:
        problems.add(
            f"ephemeral_storage is {ephemeral_storage.to_bytes() / 2**20:g} MB",
            allowed=f"SnapStart takes {most_mb} MB at most",
            remedy=f"have the model in the function's package or layer, or {_WITHOUT}",
        )


@jsii.implements(IValidation)
class WithoutFileSystem:
    """A check at synth, since a file system may be mounted after the function was made.

    Args:
        function: which starts from snapshots.
    """

    def __init__(self, function: lambda_.CfnFunction) -> None:
        self._function = function

    def validate(self) -> list[str]:
        """What is wrong, as the CDK asks for it."""
        if not self._function.file_system_configs:
            return []
        return [
            "the function has a file system mounted; SnapStart takes none; have the model in the"
            f" function's package, a layer or S3, or {_WITHOUT}"
        ]
