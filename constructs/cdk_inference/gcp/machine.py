"""What an instance of a Cloud Run service has: processors, memory, a GPU."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import CLOUD_RUN_CPU_MEMORY_GIB, CLOUD_RUN_LEAST_MEMORY_MIB
from cdk_inference.memory import least_memory_mb, needed_memory_mb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdk_inference.gcp.bindings import Bindings
    from cdk_inference.gcp.gpu import Gpu
    from cdk_inference.gcp.model_source import ModelSource
    from cdk_inference.limits import GpuLimits
    from cdk_inference.model import InferenceModel
    from cdk_inference.validation import Problems

_MEMORY: Final = re.compile(r"(?P<amount>[1-9]\d*)(?P<unit>Mi|Gi)")
_MIB: Final = {"Mi": 1, "Gi": 2**10}


@dataclass(frozen=True)
class Machine:
    """What an instance has.

    Attributes:
        cpu: vCPUs.
        memory: as Cloud Run writes it, such as ``512Mi`` or ``4Gi``.
        cpu_idle: whether the vCPUs are taken away between requests, and not paid.
        gpu: its GPU, if it has one.
        zonal_redundancy: whether GPUs are kept ready in other zones too.
    """

    cpu: int
    memory: str
    cpu_idle: bool
    gpu: Gpu | None = None
    zonal_redundancy: bool = False

    @classmethod
    def for_model(
        cls,
        model: InferenceModel,
        source: ModelSource,
        *,
        cpu: int | None,
        memory: str | None,
        cpu_idle: bool,
    ) -> Machine:
        """One without a GPU; what is ``None`` follows from the rest and from the model."""
        memory = memory or default_memory(model, source)
        return cls(cpu or least_cpu(memory), memory, cpu_idle)

    @classmethod
    def for_gpu(
        cls,
        gpu: Gpu,
        *,
        cpu: int | None,
        memory: str | None,
        cpu_idle: bool = False,
        zonal_redundancy: bool = False,
    ) -> Machine:
        """One with a GPU, and the least of what is ``None`` that goes with it and with the rest."""
        memory = memory or f"{gpu.limits.memory_gib}Gi"
        cpu = cpu or max(gpu.limits.cpu, least_cpu(memory))
        return cls(cpu, memory, cpu_idle, gpu, zonal_redundancy)

    @property
    def limits(self) -> dict[str, str]:
        """As a container's resources have them."""
        gpu = {} if self.gpu is None else {"nvidia.com/gpu": "1"}
        return {"cpu": str(self.cpu), "memory": self.memory, **gpu}

    def check(
        self,
        bindings: Bindings,
        model: InferenceModel,
        source: ModelSource,
        region: str,
        problems: Problems,
    ) -> None:
        """Record what does not go together.

        What follows from ``cpu`` and ``memory`` is computed at synth, so they must be known then.
        """
        if self.gpu is not None and are_known(bindings, region):
            _check_region(self.gpu, region, problems)
        is_cpu_known = problems.check_known("cpu", are_known(bindings, self.cpu))
        if not problems.check_known("memory", are_known(bindings, self.memory)):
            return
        mib = memory_mib(self.memory)
        if mib is None:
            problems.add(
                f"memory is {self.memory!r}",
                allowed="it is a whole number of Mi or Gi",
                remedy="write it as in '512Mi' or '4Gi'",
            )
        else:
            _check_model_fits(mib, model, source, problems)
        if not is_cpu_known:
            return
        if self.gpu is None:
            _check_size(self, mib, CLOUD_RUN_CPU_MEMORY_GIB, "Cloud Run", problems)
        else:
            _check_gpu(self, self.gpu, mib, problems)


def memory_mib(memory: str) -> int | None:
    """``memory`` in MiB; ``None`` if it is not what Cloud Run takes.

    Example:
        >>> memory_mib("4Gi")
        4096
    """
    match = _MEMORY.fullmatch(memory)
    return int(match["amount"]) * _MIB[match["unit"]] if match else None


def default_memory(model: InferenceModel, source: ModelSource) -> str:
    """The memory in which ``model`` serves well, and its file if it is kept in memory too."""
    needed = needed_memory_mb(model.size_bytes) + source.memory_mib(model)
    mib = max(CLOUD_RUN_LEAST_MEMORY_MIB, needed)
    return f"{ceil(mib / 2**10)}Gi" if mib > CLOUD_RUN_LEAST_MEMORY_MIB else f"{mib}Mi"


def least_cpu(memory: str) -> int:
    """The fewest vCPUs that go with ``memory``; the most there are for what none goes with."""
    mib = memory_mib(memory) or 0
    fitting = (cpu for cpu, (_, most) in CLOUD_RUN_CPU_MEMORY_GIB.items() if mib <= most * 2**10)
    return next(fitting, max(CLOUD_RUN_CPU_MEMORY_GIB))


def _check_model_fits(
    mib: int, model: InferenceModel, source: ModelSource, problems: Problems
) -> None:
    needed = least_memory_mb(model.size_bytes) + source.memory_mib(model)
    least = max(CLOUD_RUN_LEAST_MEMORY_MIB, needed)
    if mib < least:
        problems.add(
            f"memory is {mib} MiB",
            allowed=f"Cloud Run's second generation and a model of"
            f" {model.size_bytes / 2**20:.0f} MB{source.place} need {least} at least",
            remedy=f"leave it out, or start from {default_memory(model, source)}",
        )


def _check_size(
    machine: Machine,
    mib: int | None,
    sizes: Mapping[int, tuple[int, int]],
    platform: str,
    problems: Problems,
) -> None:
    given = f"memory is {machine.memory}"
    if machine.cpu in sizes:
        least, most = sizes[machine.cpu]
        given += f" with cpu {machine.cpu}"
    else:
        problems.add(
            f"cpu is {machine.cpu}",
            allowed=f"{platform} has instances of {_listed(sizes)} vCPUs",
            remedy="choose one of them, or leave it out",
        )
        least = min(least for least, _ in sizes.values())
        most = max(most for _, most in sizes.values())
    if mib is not None and not least * 2**10 <= mib <= most * 2**10:
        problems.add(
            given,
            allowed=f"{platform} allows {least} to {most} GiB",
            remedy="change one of them, or leave cpu out",
        )


def _check_gpu(machine: Machine, gpu: Gpu, mib: int | None, problems: Problems) -> None:
    has = gpu.limits
    if has.sizes is None:
        _check_least(machine, mib, has, problems)
    else:
        _check_size(machine, mib, has.sizes, f"Cloud Run with {has.accelerator}", problems)
    if machine.cpu_idle:
        problems.add(
            "cpu_idle is True",
            allowed="an instance with a GPU keeps its vCPUs between requests",
            remedy="leave it out, and have min_instances=0 to pay nothing without requests",
        )


def _check_least(machine: Machine, mib: int | None, has: GpuLimits, problems: Problems) -> None:
    if machine.cpu < has.cpu:
        problems.add(
            f"cpu is {machine.cpu}",
            allowed=f"an instance with {has.accelerator} has {has.cpu} or more vCPUs",
            remedy="change it, or leave it out",
        )
    if mib is not None and mib < has.memory_gib * 2**10:
        problems.add(
            f"memory is {machine.memory}",
            allowed=f"an instance with {has.accelerator} has {has.memory_gib} or more GiB",
            remedy="change it, or leave it out",
        )


def _check_region(gpu: Gpu, region: str, problems: Problems) -> None:
    has = gpu.limits
    if region not in has.regions + has.by_invitation:
        problems.add(
            f"region is {region!r}",
            allowed=f"Cloud Run has {has.accelerator} in {_listed(has.regions)}, and, where Google"
            f" invites, in {_listed(has.by_invitation)}",
            remedy="choose one of them, or another GPU",
        )


def _listed(choices: Iterable[object]) -> str:
    return ", ".join(map(str, choices))
