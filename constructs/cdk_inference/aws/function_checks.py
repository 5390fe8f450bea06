"""What a function's own settings may be."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from aws_cdk import Size

from cdk_inference.aws.tokens import are_known
from cdk_inference.limits import (
    LAMBDA_EPHEMERAL_STORAGE,
    LAMBDA_PYTHON_VERSIONS,
    LAMBDA_TIMEOUT,
)

if TYPE_CHECKING:
    from aws_cdk import Duration
    from aws_cdk import aws_ec2 as ec2

    from cdk_inference.aws.model_source import ModelSource
    from cdk_inference.aws.packaging import LambdaPlatform
    from cdk_inference.validation import Problems

# In /tmp, beside a model: what marks its ranges while it lands, and a user's own files.
_BESIDE_THE_MODEL_MB: Final = 64


def check_timeout(timeout: Duration, problems: Problems) -> None:
    """Record a problem if Lambda has no such timeout."""
    if not timeout.is_unresolved():
        problems.check_within("timeout", timeout.to_milliseconds() / 1000, LAMBDA_TIMEOUT)


def check_reserved_concurrency(reserved: int | None, problems: Problems) -> None:
    """Record a problem if the function could never run."""
    if reserved is not None and are_known(reserved) and reserved < 1:
        problems.add(
            f"reserved_concurrency is {reserved}",
            allowed="with less than 1 the function never runs",
            remedy="give 1 or more, or leave it out",
        )


def default_ephemeral_storage(fetched_bytes: int) -> Size:
    """The size of ``/tmp``: the least, or what a model takes that is fetched there."""
    beside_mb = _BESIDE_THE_MODEL_MB if fetched_bytes else 0
    needed_mb = ceil(fetched_bytes / 2**20) + beside_mb
    return Size.mebibytes(max(LAMBDA_EPHEMERAL_STORAGE.minimum, needed_mb))


def check_ephemeral_storage(size: Size, fetched_bytes: int, problems: Problems) -> None:
    """Record a problem if Lambda has no such ``/tmp``, or the model does not fit there."""
    if size.is_unresolved():
        return
    storage_mb = size.to_bytes() / 2**20
    problems.check_within("ephemeral_storage", storage_mb, LAMBDA_EPHEMERAL_STORAGE)
    if size.to_bytes() < fetched_bytes:
        problems.add(
            f"ephemeral_storage is {storage_mb:g} MB",
            allowed=f"a model of {fetched_bytes / 2**20:.0f} MB is fetched there",
            remedy="leave it out, and it is chosen by the model",
        )


def check_vpc(source: ModelSource, vpc: ec2.IVpc | None, problems: Problems) -> None:
    """Record a problem if the function would run in two networks."""
    if vpc is not None and source.network is not None:
        problems.add(
            "vpc is given, and so is a model_source that is mounted",
            allowed="the function runs in the network of its file system",
            remedy="leave vpc out, or give the store that VPC",
        )


def check_python(version: str, problems: Problems) -> None:
    """Record a problem if Lambda has no such Python."""
    if not problems.check_known("python_version", are_known(version)):
        return
    if version not in LAMBDA_PYTHON_VERSIONS:
        problems.add(
            f"python_version is {version!r}",
            allowed=f"supported are {', '.join(LAMBDA_PYTHON_VERSIONS)}",
            remedy="choose one of them",
        )


def check_base_image(base_image: str | None, platform: LambdaPlatform, problems: Problems) -> None:
    """Record a problem if there is no image to have that base."""
    problems.check_known("base_image", are_known(base_image))
    if base_image is not None and platform.packaging.is_zip and not platform.local:
        problems.add(
            f"base_image is {base_image!r}",
            allowed="a zip has no base image",
            remedy="use Packaging.IMAGE or leave base_image out",
        )
