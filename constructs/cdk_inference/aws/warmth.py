"""What keeps a function warm, one thing at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdk_inference.aws.inference_function import InferenceFunction
    from cdk_inference.validation import Problems


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
