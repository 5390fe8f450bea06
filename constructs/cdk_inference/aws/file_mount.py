"""A file system in a Lambda function that was made before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from aws_cdk import aws_lambda as lambda_

from cdk_inference.aws.tokens import are_known
from cdk_inference.validation import Problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_cdk import aws_ec2 as ec2

    from constructs import IDependable

# https://docs.aws.amazon.com/lambda/latest/api/API_FileSystemConfig.html
_MOUNT_PATH: Final = re.compile(r"/mnt/[A-Za-z0-9_.-]{1,155}")


def check_mount_path(path: str, problems: Problems) -> None:
    """Record a problem if Lambda mounts nothing at ``path``."""
    if are_known(path) and not _MOUNT_PATH.fullmatch(path):
        problems.add(
            f"mount_path is {path!r}",
            allowed="Lambda takes /mnt/ and one name of letters, digits, '_', '.' and '-', 160"
            " characters in all",
            remedy="give one such as '/mnt/models'",
        )


def check_existing(
    existing: Mapping[str, object | None], vpc: ec2.IVpc | None, problems: Problems
) -> None:
    """Record a problem if of a file system that is there already only some is given.

    Args:
        existing: what names it, by argument.
        vpc: where it is.
        problems: the store's.
    """
    needed = {**existing, "vpc": vpc}
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        present = [name for name in needed if name not in missing]
        problems.add(
            f"{' and '.join(present)} given without {' and '.join(missing)}",
            allowed="a file system that is there already has its network, and a folder with models",
            remedy=f"give all three, or leave {' and '.join(existing)} out",
        )


def mount_file_system(
    function: lambda_.Function,
    mount: lambda_.CfnFunction.FileSystemConfigProperty,
    file_system: ec2.IConnectable,
    available: Iterable[IDependable],
) -> None:
    """Mount a file system, without any permission for it.

    ``lambda_.FileSystem`` also allows writing, the whole file system over; so what is left of it is
    here.

    Args:
        function: in the file system's VPC.
        mount: what, and where.
        file_system: knows its security groups and its port.
        available: what has to be there before the function runs.

    Raises:
        ConfigurationError: the function is in no VPC, or has a file system already.
    """
    cfn_function = cast("lambda_.CfnFunction", function.node.default_child)
    problems = Problems(function.node.path)
    if not function.is_bound_to_vpc:
        problems.add(
            "the function is in no VPC",
            allowed="a file system is mounted over the network",
            remedy="make the function with vpc=store.network.vpc",
        )
    if cfn_function.file_system_configs is not None:
        problems.add(
            "the function has a file system mounted already",
            allowed="Lambda mounts one at most",
            remedy="put all models of a function into one store",
        )
    problems.raise_if_any()
    function.connections.allow_to_default_port(file_system)
    cfn_function.file_system_configs = [mount]
    cfn_function.node.add_dependency(
        *available,
        *function.connections.security_groups,
        *file_system.connections.security_groups,
    )
