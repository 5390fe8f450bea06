"""The container that serves the model, and the one that may load it first."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from cdk_inference.contract import FETCH_COMMAND, PORT, READY_PATH, SERVE_COMMAND
from cdk_inference.gcp.container import LIVENESS, Check, Container
from cdk_inference.gcp.machine import least_cpu
from cdk_inference.gcp.nginx_sidecar import RUNTIME_PORT
from cdk_inference.gcp.startup_probe import StartupProbe
from cdk_inference.limits import CLOUD_RUN_CPU_MEMORY_GIB, CLOUD_RUN_LEAST_MEMORY_MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdk_inference.gcp.machine import Machine
    from cdk_inference.gcp.model_source import ModelSource
    from cdk_inference.gcp.nginx_sidecar import NginxSidecar
    from cdk_inference.gcp.secret import Secret
    from cdk_inference.gcp.volume import Volume
    from cdk_inference.model import InferenceModel
    from cdk_inference.validation import Problems

_RUNTIME: Final = "runtime"
_LOADER: Final = "model-loader"
_LOADER_PORT: Final = 8090


def runtime_container(
    *,
    image: str,
    machine: Machine,
    port: int,
    environment: Mapping[str, str],
    secrets: Mapping[str, Secret],
    volumes: Sequence[Volume],
    startup_probe: StartupProbe,
    source: ModelSource,
    nginx: NginxSidecar | None,
) -> Container:
    """The container that serves the model; the arguments are those of ``CloudRun``.

    Behind nginx, which starts when this one has, it is nginx that Cloud Run asks from then on; over
    TLS, which Cloud Run's probes do not speak, nginx tells when the model is loaded, too.
    """
    is_encrypted = nginx is not None and nginx.tls is not None
    return Container(
        name=_RUNTIME,
        image=image,
        command=SERVE_COMMAND,
        environment=environment,
        limits=machine.limits,
        cpu_idle=machine.cpu_idle,
        port=port if nginx is None else RUNTIME_PORT,
        startup=Check.of(None if is_encrypted else READY_PATH, startup_probe),
        liveness=LIVENESS if nginx is None else None,
        has_ingress=nginx is None,
        secrets=secrets,
        volumes=volumes,
        after=[_LOADER] if source.has_loader else [],
    )


def loader_container(
    runtime: Container,
    model: InferenceModel,
    source: ModelSource,
    environment: Mapping[str, str],
) -> Container:
    """The container that has the model in the volume that both share, before the other starts.

    It goes on to exist, since an instance ends with any of its containers.

    Args:
        runtime: the container that serves, of the same image.
        model: what is loaded.
        source: from where.
        environment: what tells the runtime of both.
    """
    memory = f"{_loader_memory_mib(model, source)}Mi"
    return Container(
        name=_LOADER,
        image=runtime.image,
        command=FETCH_COMMAND,
        environment={**environment, PORT: str(_LOADER_PORT)},
        limits={"cpu": str(least_cpu(memory)), "memory": memory},
        cpu_idle=runtime.cpu_idle,
        port=_LOADER_PORT,
        startup=Check.of(None, StartupProbe.for_model(model.size_bytes)),
        volumes=source.volumes(model),
    )


def check_loader(model: InferenceModel, source: ModelSource, port: int, problems: Problems) -> None:
    """Record what is in the way of a loader beside a runtime that listens on ``port``."""
    if port == _LOADER_PORT:
        problems.add(
            f"port is {port}",
            allowed="the model's loader listens there",
            remedy="choose another, or leave it out",
        )
    most = max(gib for _, gib in CLOUD_RUN_CPU_MEMORY_GIB.values())
    needed = _loader_memory_mib(model, source)
    if needed > most * 2**10:
        problems.add(
            f"the model's loader would need {needed} MiB of memory",
            allowed=f"an instance of Cloud Run has {most} GiB at most",
            remedy="use ModelSource.mounted(…)",
        )


def _loader_memory_mib(model: InferenceModel, source: ModelSource) -> int:
    """What a fetch takes, and the file where it is kept in memory, in whole 256 MiB."""
    needed = CLOUD_RUN_LEAST_MEMORY_MIB + source.loader_memory_mib(model)
    return ceil(needed / 256) * 256
