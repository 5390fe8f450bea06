"""The GPUs of Cloud Run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from cdk_inference.limits import CLOUD_RUN_L4, CLOUD_RUN_RTX_PRO_6000

if TYPE_CHECKING:
    from cdk_inference.limits import GpuLimits


class Gpu(Enum):
    """What an instance may have one of.

    Example:
        >>> Gpu.L4.limits.memory_gib
        16
    """

    L4 = CLOUD_RUN_L4
    """NVIDIA L4 with 24 GB, for instances of 4 vCPUs and 16 GiB at least. CUDA 12."""

    RTX_PRO_6000 = CLOUD_RUN_RTX_PRO_6000
    """NVIDIA RTX PRO 6000 Blackwell with 96 GB, for instances of 20 vCPUs and 80 GiB at least.
    CUDA 13. Google has it in preview."""

    @property
    def limits(self) -> GpuLimits:
        """What an instance with it needs, and where Cloud Run has it."""
        return self.value


@dataclass(frozen=True)
class TensorRt:
    """TensorRT before CUDA: faster for many models, once it has built its engines.

    Attributes:
        engine_bucket: the name of a bucket where all instances keep the engines that they build,
            which takes minutes. Default: none; each instance builds its own, in its memory.

    Example:
        >>> TensorRt(engine_bucket="my-engines")
        TensorRt(engine_bucket='my-engines')
    """

    engine_bucket: str | None = None
