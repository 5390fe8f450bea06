"""A container of a Cloud Run service, as the provider's blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.contract import LIVE_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from cdk_inference.gcp.secret import Secret
    from cdk_inference.gcp.startup_probe import StartupProbe
    from cdk_inference.gcp.volume import Volume


@dataclass(frozen=True)
class Check:
    """How Cloud Run asks a container whether it has started, or whether it still answers.

    Attributes:
        path: of an HTTP request; ``None`` if a connection is enough.
        period: seconds between two questions.
        timeout: seconds for an answer.
        failures: after which the container is ended.
    """

    path: str | None
    period: int
    timeout: int
    failures: int

    @classmethod
    def of(cls, path: str | None, probe: StartupProbe) -> Check:
        """As often, and for as long, as ``probe`` says."""
        return cls(path, period=probe.period, timeout=probe.period, failures=probe.failures)


# A process that does not answer for half a minute is ended.
LIVENESS: Final = Check(LIVE_PATH, period=10, timeout=5, failures=3)


@dataclass(frozen=True)
class Container:
    """A container.

    Attributes:
        name: in the service.
        image: by its digest.
        command: what is run.
        environment: plain variables.
        limits: processors, memory and GPUs, as Cloud Run writes them.
        cpu_idle: whether vCPUs are taken away between requests.
        port: where it listens.
        startup: asked on that port until it has started; those after it wait for that.
        liveness: asked on that port from then on. Default: nobody asks.
        has_ingress: whether it gets the service's requests; one of a service does. Default: not.
        secrets: variables from Secret Manager. Default: none.
        volumes: that it has mounted. Default: none.
        after: the names of containers that start before. Default: none.
    """

    name: str
    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    limits: Mapping[str, str]
    cpu_idle: bool
    port: int
    startup: Check
    liveness: Check | None = None
    has_ingress: bool = False
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    volumes: Sequence[Volume] = ()
    after: Sequence[str] = ()

    def block(self, run: ModuleType) -> Any:
        """Its block, of the provider's module ``cloud_run_v2_service``."""
        ports = run.CloudRunV2ServiceTemplateContainersPorts
        mount = run.CloudRunV2ServiceTemplateContainersVolumeMounts
        return run.CloudRunV2ServiceTemplateContainers(
            name=self.name,
            image=self.image,
            command=list(self.command),
            depends_on=list(self.after) or None,
            env=[*self._plain_variables(run), *self._secret_variables(run)],
            ports=ports(container_port=self.port) if self.has_ingress else None,
            resources=run.CloudRunV2ServiceTemplateContainersResources(
                limits=dict(self.limits), cpu_idle=self.cpu_idle, startup_cpu_boost=True
            ),
            startup_probe=self._probe(run, "StartupProbe", self.startup),
            liveness_probe=self.liveness and self._probe(run, "LivenessProbe", self.liveness),
            volume_mounts=[
                mount(name=volume.name, mount_path=volume.path) for volume in self.volumes
            ],
        )

    def _probe(self, run: ModuleType, kind: str, check: Check) -> Any:
        block = f"CloudRunV2ServiceTemplateContainers{kind}"
        # Cloud Run asks the container with ingress on its port unless told otherwise.
        port = None if self.has_ingress else self.port
        asked = (
            {"tcp_socket": getattr(run, f"{block}TcpSocket")(port=self.port)}
            if check.path is None
            else {"http_get": getattr(run, f"{block}HttpGet")(path=check.path, port=port)}
        )
        return getattr(run, block)(
            **asked,
            period_seconds=check.period,
            timeout_seconds=check.timeout,
            failure_threshold=check.failures,
        )

    def _plain_variables(self, run: ModuleType) -> list[Any]:
        return [
            run.CloudRunV2ServiceTemplateContainersEnv(name=name, value=value)
            for name, value in self.environment.items()
        ]

    def _secret_variables(self, run: ModuleType) -> list[Any]:
        return [
            run.CloudRunV2ServiceTemplateContainersEnv(
                name=name,
                value_source=run.CloudRunV2ServiceTemplateContainersEnvValueSource(
                    secret_key_ref=run.CloudRunV2ServiceTemplateContainersEnvValueSourceSecretKeyRef(
                        secret=secret.name, version=secret.version
                    )
                ),
            )
            for name, secret in self.secrets.items()
        ]
