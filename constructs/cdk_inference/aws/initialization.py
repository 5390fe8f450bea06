"""How long a function takes to start, by estimate, and whether Lambda waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdk_inference.aws.warnings import warn
from cdk_inference.limits import LAMBDA_INIT_AHEAD_SECONDS, LAMBDA_INIT_SECONDS

if TYPE_CHECKING:
    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.validation import Problems

# Measured by bench/memory.py: 1.6 to 5.4 ms of the processor's time for each MiB of an original
# model, on one thread; the most for convolutions. What `inference-runtime optimize` writes takes a
# part of that.
_SECONDS_PER_MODEL_MB: Final = 4.5e-3
_IMPORTS_SECONDS: Final = 0.15
# Assumed: AWS documents no rate, and others report 400 to 700 Mbit/s for one environment.
_FETCHED_MB_PER_SECOND: Final = 75


def init_seconds(model_bytes: int, *, fetched: bool) -> float:
    """How long an environment takes to start, in seconds: an estimate, and no promise.

    Args:
        model_bytes: the model's size.
        fetched: whether it comes from Amazon S3.

    Example:
        >>> round(init_seconds(2**30, fetched=True))
        18
    """
    model_mb = model_bytes / 2**20
    fetch = model_mb / _FETCHED_MB_PER_SECOND if fetched else 0
    return _IMPORTS_SECONDS + _SECONDS_PER_MODEL_MB * model_mb + fetch


def check_provisioned_init(function: MLInferenceFunction, problems: Problems) -> None:
    """Record a problem if environments of ``function`` cannot be provisioned in time."""
    if not function.timeout.is_unresolved():
        most = max(LAMBDA_INIT_AHEAD_SECONDS, function.timeout.to_milliseconds() / 1000)
        seconds = _estimate(function)
        if seconds > most:
            problems.add(
                f"a model of {_size(function)} takes {seconds:.0f} s to start, by estimate",
                allowed=f"Lambda waits {most:.0f} s for a provisioned environment",
                remedy=f"raise timeout, {_SMALLER}",
            )


def warn_of_long_init(function: MLInferenceFunction) -> None:
    """Warn if ``function`` cannot start within what Lambda waits when a request comes."""
    seconds = _estimate(function)
    if seconds > LAMBDA_INIT_SECONDS and not function.warm_strategy.is_snap_start:
        warn(
            function,
            "init",
            f"a model of {_size(function)} takes {seconds:.0f} s to start, by estimate",
            allowed=f"Lambda waits {LAMBDA_INIT_SECONDS} s where a request came first, which with"
            " provisioned concurrency are those that spill over, and then begins anew within it",
            remedy=f"start from snapshots (WarmStrategy.snap_start()), {_SMALLER}",
        )


_SMALLER: Final = "have the model in the package, or make it smaller (quantize it)"


def _estimate(function: MLInferenceFunction) -> float:
    return init_seconds(function.model.size_bytes, fetched=function.model_source.is_fetched)


def _size(function: MLInferenceFunction) -> str:
    return f"{function.model.size_bytes / 2**20:.0f} MB"
