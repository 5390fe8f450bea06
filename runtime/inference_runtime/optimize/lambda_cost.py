"""What a million calls cost on AWS Lambda, estimated from one measured latency."""

from __future__ import annotations

from math import ceil

from inference_runtime.engine.threads import MEGABYTES_PER_VCPU

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

# US dollars, us-east-1, first tier. https://aws.amazon.com/lambda/pricing/, as of November 2026.
PRICE_PER_GB_SECOND: Final = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
PRICE_PER_MILLION_REQUESTS: Final = 0.20

MEMORY_SIZES_MB: Final = (256, 512, 1024, 1769, 3538)
# What the runtime needs beside the model's own process: a request's body, the log, and slack.
_HEADROOM: Final = 1.15
_MILLION: Final = 1_000_000


def cost_per_million(
    latency_ms: float, peak_bytes: int, threads: int, architecture: str = "x86_64"
) -> dict[int, float]:
    """US dollars for a million warm calls by memory size in MB, of the sizes that fit the model.

    A size with less processor time than the run's threads want takes longer in proportion. Lambda
    bills whole milliseconds. Cold starts, decoding and other services are not in it, and its
    processors are not this machine's: trust the comparison more than the amount.

    Args:
        latency_ms: of one run, measured with ``threads`` threads on that many whole processors.
        peak_bytes: the memory that the process needs.
        threads: of the run.
        architecture: ``x86_64`` or ``arm64``.

    Example:
        >>> cost_per_million(latency_ms=10, peak_bytes=100 << 20, threads=1)[1769]
        0.49
    """
    return {
        memory: round(_cost(latency_ms, memory, threads, PRICE_PER_GB_SECOND[architecture]), 2)
        for memory in MEMORY_SIZES_MB
        if peak_bytes * _HEADROOM <= memory << 20
    }


def cheapest(costs: Mapping[int, float]) -> tuple[int, float] | None:
    """The memory size in MB of the lowest cost, the larger of equals; ``None`` if none fits."""
    return min(costs.items(), key=lambda item: (item[1], -item[0]), default=None)


def _cost(latency_ms: float, memory_mb: int, threads: int, price: float) -> float:
    slowdown = max(1.0, threads * MEGABYTES_PER_VCPU / memory_mb)
    seconds = ceil(latency_ms * slowdown) / 1000
    return seconds * memory_mb / 1024 * price * _MILLION + PRICE_PER_MILLION_REQUESTS
