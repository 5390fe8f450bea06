"""How much memory a Lambda function gets for a model."""

from __future__ import annotations

from cdk_inference.limits import LAMBDA_ONE_VCPU_MB
from cdk_inference.memory import needed_memory_mb


def default_memory_mb(model_bytes: int) -> int:
    """The memory for a model of ``model_bytes``, in MB.

    3.5 times the model plus 256 MB, and no less than 1,769 MB, which is one whole vCPU. Below that
    a computation takes as much longer as it gets less, so that less memory would make the answer
    slower and no cheaper.
    """
    return max(LAMBDA_ONE_VCPU_MB, needed_memory_mb(model_bytes))
