"""What says which version an alias's requests go to, one thing at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Stack

from cdk_inference.aws.ml_inference_function import MLInferenceFunction

if TYPE_CHECKING:
    from cdk_inference.aws.inference_function import InferenceFunction
    from cdk_inference.validation import Problems
    from constructs import Construct


def check_alias(scope: Construct, function: InferenceFunction, problems: Problems) -> None:
    """Record a problem if ``scope`` cannot be what directs the alias of ``function``."""
    if not isinstance(function, MLInferenceFunction):
        problems.add(
            f"{function.node.path} was looked up",
            allowed="an alias is directed by the stack that has it",
            remedy="add this to the app that makes the function",
        )
        return
    if Stack.of(scope).node.path != Stack.of(function).node.path:
        problems.add(
            f"{function.node.path} is in another stack",
            allowed="an alias is directed by the stack that has it",
            remedy=f"use {Stack.of(function).node.path} for the scope",
        )
    if function.release is not None:
        problems.add(
            f"the requests to {function.node.path} are directed by {function.release.node.path}"
            " already",
            allowed="an alias has one split at a time",
            remedy="leave one of them out",
        )
