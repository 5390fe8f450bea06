"""From a stack to a document that its providers' schemas have nothing against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cdk_inference import ConfigurationError
from cdk_inference.gcp import Bindings
from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.schema import check_document
from cdk_inference.gcp.testing import document, stable_document

REGION = "europe-west1"
IMAGE = f"{REGION}-docker.pkg.dev/my-project/models/scale@sha256:{'0123456789abcdef' * 4}"


def new_stack(bindings: Bindings) -> Any:
    stack = bindings.core.TerraformStack(bindings.core.Testing.app(), "Stack")
    bindings.google("provider").GoogleProvider(stack, "Google", project="my-project")
    return stack


def synthesize(stack: Any) -> dict[str, Any]:
    synthesized = document(stack)
    assert check_document(synthesized, bindings_of(stack)) == []
    return synthesized


def same_on_both(make: Callable[[Any], object]) -> dict[str, Any]:
    """The document of a stack that ``make`` adds to: the same with either bindings."""
    documents = []
    for bindings in Bindings:
        stack = new_stack(bindings)
        make(stack)
        synthesize(stack)
        documents.append(stable_document(stack))
    first, second = documents
    assert first == second
    return first


def resources(document: dict[str, Any], resource_type: str) -> list[dict[str, Any]]:
    return list(document["resource"].get(resource_type, {}).values())


def only_resource(stack: Any, resource_type: str) -> dict[str, Any]:
    (resource,) = resources(synthesize(stack), resource_type)
    return resource


def construct_ids(construct: Any) -> list[str]:
    return [child.node.id for child in construct.node.children]


def refusals(construct: Any, stack: Any, **options: Any) -> tuple[str, ...]:
    """What is wrong with a construct's arguments; it must not have made anything."""
    with pytest.raises(ConfigurationError) as caught:
        construct(stack, "Refused", **options)
    assert caught.value.where == "Stack/Refused"
    assert construct_ids(stack.node.find_child("Refused")) == []
    return caught.value.problems
