"""AWS's SDK, imported only when an event needs it: it takes longer than everything else together.

Lambda's managed runtimes have it; an image gets it with the extra ``aws``.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock

from inference_runtime.errors import AwsCallFailed, PayloadTooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# An invoked function answers when it is done, which takes 15 minutes at most.
_READ_TIMEOUT_SECONDS = {"lambda": 900}
_DEFAULT_READ_TIMEOUT_SECONDS = 60

_clients: dict[str, Any] = {}
_lock = Lock()


def call(service: str, operation: str, /, **arguments: Any) -> Any:
    """Call an operation of an AWS service.

    Args:
        service: as ``boto3.client`` names it.
        operation: the client's method.
        arguments: its own.

    Raises:
        AwsCallFailed: AWS refuses or cannot be reached, or boto3 is not installed.
    """
    with _failures(service):
        return getattr(_client(service), operation)(**arguments)


def get_object(uri: str, version: object, max_bytes: int) -> tuple[bytes, str]:
    """The content of an S3 object, and its content encoding.

    Args:
        uri: ``s3://bucket/key``.
        version: the object's, where the bucket has versions.
        max_bytes: that are read.

    Raises:
        PayloadTooLarge: it has more.
        AwsCallFailed: as ``call``.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    which = {"VersionId": version} if isinstance(version, str) else {}
    response = call("s3", "get_object", Bucket=bucket, Key=key, **which)
    size = response["ContentLength"]
    if size > max_bytes:
        raise PayloadTooLarge(f"{uri} has {size:,} bytes; at most {max_bytes:,} are allowed")
    with _failures("s3"):
        return response["Body"].read(), response.get("ContentEncoding", "")


@contextmanager
def _failures(service: str) -> Iterator[None]:
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise AwsCallFailed(
            "S3 events, INFERENCE_RESULTS and smoke tests need boto3: install"
            " inference-runtime[aws] into the image"
        ) from None
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise AwsCallFailed(f"{service}: {error}") from error


def _client(service: str) -> Any:
    with _lock:  # making a client is not thread-safe; using one is
        if service not in _clients:
            import boto3
            from botocore.config import Config

            timeout = _READ_TIMEOUT_SECONDS.get(service, _DEFAULT_READ_TIMEOUT_SECONDS)
            _clients[service] = boto3.client(service, config=Config(read_timeout=timeout))
        return _clients[service]
