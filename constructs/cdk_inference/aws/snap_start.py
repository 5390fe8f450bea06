"""What Lambda SnapStart takes of a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jsii

from cdk_inference.limits import (
    LAMBDA_SNAP_START_EPHEMERAL_STORAGE_MB,
    LAMBDA_SNAP_START_PYTHON_VERSIONS,
)
from cdk_inference.validation import Problems
from constructs import IValidation

if TYPE_CHECKING:
    from aws_cdk import Size
    from aws_cdk import aws_lambda as lambda_

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
class SnapshotsAlone:
    """A check at synth, since what SnapStart does not go with may be added later.

    Args:
        function: which starts from snapshots.
        alias: of its versions.
    """

    def __init__(self, function: lambda_.CfnFunction, alias: lambda_.CfnAlias) -> None:
        self._function = function
        self._alias = alias

    def validate(self) -> list[str]:
        """What is wrong, as the CDK asks for it."""
        problems = Problems(self._function.node.path)
        if self._function.file_system_configs:
            problems.add(
                "the function has a file system mounted",
                allowed="SnapStart takes none",
                remedy=f"have the model in the function's package, a layer or S3, or {_WITHOUT}",
            )
        if self._alias.provisioned_concurrency_config:
            problems.add(
                f"the alias {self._alias.name} has provisioned concurrency",
                allowed="Lambda has either that or SnapStart for a version",
                remedy=f"leave it out, or {_WITHOUT}",
            )
        return problems.found
