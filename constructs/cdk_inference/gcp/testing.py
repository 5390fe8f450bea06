"""For users' own tests of stacks for Google Cloud, on CDKTF and on CDK Terrain.

Example:
    A snapshot test with syrupy::

        def test_my_stack(snapshot):
            stack = MyStack(App(), "MyStack")
            assert schema_problems(stack) == []
            assert stable_document(stack) == snapshot
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.schema import check_document

# What an artifact's content makes of it: the SHA-256 by which its folder is named.
_HASH: Final = re.compile(r"\b[0-9a-f]{64}\b")


def schema_problems(stack: Any) -> list[str]:
    """What is wrong with the document of ``stack``, as far as its providers' schemas tell.

    Args:
        stack: a ``TerraformStack`` of cdktf or cdktn, whether or not it uses this library.

    Returns:
        A sentence for each fault, as :func:`cdk_inference.gcp.schema.check_document` has it.

    Example:
        >>> assert schema_problems(stack) == []
    """
    return check_document(document(stack), bindings_of(stack))


def stable_document(stack: Any) -> dict[str, Any]:
    """The document of ``stack`` without what changes with each release: the versions of providers,
    the hashes of artifacts, and where Terraform would keep its state here. CDKTF and CDK Terrain
    give the same for the same stack.

    Args:
        stack: a ``TerraformStack`` of cdktf or cdktn.

    Returns:
        The document as plain dicts and lists, for any snapshot tool.

    Example:
        >>> stable_document(stack)["terraform"]["required_providers"]["google"]["version"]
        '<version>'
    """
    content = document(stack)
    for provider in content["terraform"].get("required_providers", {}).values():
        provider["version"] = "<version>"
        if "/" not in provider["source"]:  # as CDKTF writes what CDK Terrain writes in full
            provider["source"] = f"hashicorp/{provider['source']}"
    content["terraform"].pop("backend", None)
    stable: dict[str, Any] = json.loads(_HASH.sub("<hash>", json.dumps(content)))
    return stable


def document(stack: Any) -> dict[str, Any]:
    """What would be written as ``cdk.tf.json``, its constructs validated.

    Example:
        >>> document(stack)["resource"].keys()
        dict_keys(['google_service_account', 'google_cloud_run_v2_service'])
    """
    text = bindings_of(stack).core.Testing.synth(stack, True)
    content: dict[str, Any] = json.loads(text)
    return content
