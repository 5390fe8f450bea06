"""What keeps a function warm, one thing at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Stack

from cdk_inference.aws.tokens import are_known

if TYPE_CHECKING:
    from cdk_inference.aws.inference_function import InferenceFunction
    from cdk_inference.validation import Problems
    from constructs import Construct


def check_not_warm_yet(function: InferenceFunction, problems: Problems) -> None:
    """Record a problem if a pool or a schedule keeps ``function`` warm already."""
    if function.warm_capacity is not None:
        problems.add(
            f"{function.node.path} is kept warm by {function.warm_capacity.node.path} already",
            allowed="two would keep the same environments warm, and be paid twice",
            remedy="leave one of them out, warm_strategy of the function included",
        )


def check_without_snap_start(function: InferenceFunction, problems: Problems) -> None:
    """Record a problem if ``function`` starts from snapshots."""
    if function.warm_strategy.is_snap_start:
        problems.add(
            f"{function.node.path} has WarmStrategy.snap_start()",
            allowed="Lambda has either SnapStart or provisioned concurrency for a function",
            remedy="leave warm_strategy out to provision, or do without the pool",
        )


def check_same_region(scope: Construct, function: InferenceFunction, problems: Problems) -> None:
    """Record a problem if ``function`` is known to be in another region than ``scope``."""
    _check_same("region", Stack.of(scope).region, function.function.env.region, problems)


def check_same_account(scope: Construct, function: InferenceFunction, problems: Problems) -> None:
    """Record a problem if ``function`` is known to be in another account than ``scope``."""
    _check_same("account", Stack.of(scope).account, function.function.env.account, problems)


def _check_same(what: str, here: str, there: str, problems: Problems) -> None:
    if are_known(here, there) and here != there:
        problems.add(
            f"the function is in {what} {there}",
            allowed=f"this stack is in {here}, and its services reach no further",
            remedy=f"use a stack that is in the function's {what}",
        )
