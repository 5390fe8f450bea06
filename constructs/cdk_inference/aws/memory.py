"""How much memory a Lambda function gets for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdk_inference.aws.warnings import warn
from cdk_inference.limits import LAMBDA_MEMORY, LAMBDA_ONE_VCPU_MB
from cdk_inference.memory import least_memory_mb, least_seen_memory_mb, needed_memory_mb

if TYPE_CHECKING:
    from aws_cdk import Size

    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.aws.model_source import AnyModel
    from cdk_inference.validation import Problems


def default_memory_mb(model_bytes: int) -> int:
    """The memory for a model of ``model_bytes``, in MB.

    3.5 times the model plus 256 MB, and no less than 1,769 MB, which is one whole vCPU. Below that
    a computation takes as much longer as it gets less, so that less memory would make the answer
    slower and no cheaper.
    """
    return max(LAMBDA_ONE_VCPU_MB, needed_memory_mb(model_bytes))


def check_memory(memory_size: Size, model: AnyModel, problems: Problems) -> None:
    """Record a problem if Lambda has no such memory, or the model cannot even be loaded in it."""
    if memory_size.is_unresolved():
        return
    memory_mb = memory_size.to_bytes() / 2**20
    problems.check_within("memory_size", memory_mb, LAMBDA_MEMORY)
    least_mb = least_memory_mb(model.size_bytes)
    if memory_mb < least_mb:
        problems.add(
            f"memory_size is {memory_mb:g} MB",
            allowed=f"a model of {model.size_bytes / 2**20:.0f} MB needs {least_mb} at least",
            remedy=f"leave it out, or start from {default_memory_mb(model.size_bytes)}",
        )


def warn_of_tight_memory(function: MLInferenceFunction) -> None:
    """Warn if ``function`` has less memory than any model of that size was seen to take."""
    if function.memory_size.is_unresolved():
        return
    size = function.model.size_bytes
    if function.memory_size.to_mebibytes() < least_seen_memory_mb(size):
        warn(
            function,
            "memory",
            f"memory_size is {function.memory_size.to_mebibytes():g} MB",
            allowed=f"models of {size / 2**20:.0f} MB were measured to take"
            f" {least_seen_memory_mb(size)} to {needed_memory_mb(size)}",
            remedy="raise it, or set INFERENCE_PROFILE to memory and measure that it fits",
        )
