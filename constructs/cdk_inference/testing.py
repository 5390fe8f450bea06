"""For users' own tests: templates that are the same until something meant changes.

Example:
    A snapshot test with syrupy::

        def test_my_stack(snapshot):
            app = cdk.App()
            assert stable_template(MyStack(app, "MyStack")) == snapshot
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import assertions

if TYPE_CHECKING:
    from aws_cdk import Stack

# What the CDK derives from an asset's content: its SHA-256, as the key or tag under which the asset
# is stored; and the MD5 at the end of a Lambda version's logical id.
_ASSET_HASH: Final = re.compile(r"\b[0-9a-f]{64}\b")
_VERSION_HASH: Final = re.compile(r"(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}\b")


def stable_template(stack: Stack) -> dict[str, Any]:
    """The template of ``stack`` without the hashes of assets.

    Those change with each release of this library's runtime and of onnxruntime, and tell a reader
    nothing. Everything else stays: names, sizes, permissions, the model's version.

    Args:
        stack: any stack, whether or not it uses this library.

    Returns:
        The template as plain dicts and lists, for any snapshot tool.

    Example:
        >>> stable_template(stack)["Resources"]["DigitsFunction5F0A7C3B"]["Properties"]["Code"]
        {'S3Bucket': {...}, 'S3Key': '<asset>.zip'}
    """
    template: dict[str, Any] = without_hashes(assertions.Template.from_stack(stack).to_json())
    return template


def without_hashes(value: Any) -> Any:
    """``value``, any JSON, with the hashes of assets in all its texts and keys replaced.

    Example:
        >>> without_hashes({"S3Key": "ab" * 32 + ".zip"})
        {'S3Key': '<asset>.zip'}
    """
    match value:
        case dict():
            return {without_hashes(key): without_hashes(item) for key, item in value.items()}
        case list():
            return [without_hashes(item) for item in value]
        case str():
            return _VERSION_HASH.sub(r"\1<version>", _ASSET_HASH.sub("<asset>", value))
        case _:
            return value
