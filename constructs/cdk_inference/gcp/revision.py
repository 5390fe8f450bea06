"""A revision of a Cloud Run service, as the provider's blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.contract import LIVE_PATH, READY_PATH, SERVE_COMMAND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from cdk_inference.gcp.machine import Machine
    from cdk_inference.gcp.network import VpcAccess
    from cdk_inference.gcp.scaling import Scaling
    from cdk_inference.gcp.secret import Secret
    from cdk_inference.gcp.startup_probe import StartupProbe
    from cdk_inference.gcp.volume import Volume

_CONTAINER: Final = "runtime"
# A process that does not answer for half a minute is ended.
_LIVENESS_PERIOD_SECONDS: Final = 10
_LIVENESS_TIMEOUT_SECONDS: Final = 5
_LIVENESS_FAILURES: Final = 3


@dataclass(frozen=True)
class Revision:
    """What a revision is made of; the attributes are those of ``CloudRun``'s arguments.

    Attributes:
        environment: all variables but secrets, by name.
    """

    machine: Machine
    image: str
    port: int
    environment: Mapping[str, str]
    secrets: Mapping[str, Secret]
    volumes: Sequence[Volume]
    startup_probe: StartupProbe
    scaling: Scaling
    vpc: VpcAccess | None
    labels: Mapping[str, str]

    def template(self, run: ModuleType, service_account: str) -> Any:
        """Its block, of the provider's module ``cloud_run_v2_service``.

        Args:
            run: that module.
            service_account: the e-mail address of the account that instances act as.
        """
        gpu = self.machine.gpu
        return run.CloudRunV2ServiceTemplate(
            containers=[self._container(run)],
            execution_environment="EXECUTION_ENVIRONMENT_GEN2",
            gpu_zonal_redundancy_disabled=gpu and not self.machine.zonal_redundancy,
            labels=dict(self.labels),
            max_instance_request_concurrency=self.scaling.concurrency,
            node_selector=gpu
            and run.CloudRunV2ServiceTemplateNodeSelector(accelerator=gpu.limits.accelerator),
            scaling=run.CloudRunV2ServiceTemplateScaling(
                min_instance_count=self.scaling.min_instances,
                max_instance_count=self.scaling.max_instances,
            ),
            service_account=service_account,
            timeout=f"{self.scaling.timeout_seconds}s",
            volumes=[volume.block(run) for volume in self.volumes],
            vpc_access=self.vpc and _vpc_access(run, self.vpc),
        )

    def _container(self, run: ModuleType) -> Any:
        return run.CloudRunV2ServiceTemplateContainers(
            name=_CONTAINER,
            image=self.image,
            command=list(SERVE_COMMAND),
            env=[*self._plain_variables(run), *self._secret_variables(run)],
            ports=run.CloudRunV2ServiceTemplateContainersPorts(container_port=self.port),
            resources=run.CloudRunV2ServiceTemplateContainersResources(
                limits=self.machine.limits,
                cpu_idle=self.machine.cpu_idle,
                startup_cpu_boost=True,
            ),
            startup_probe=run.CloudRunV2ServiceTemplateContainersStartupProbe(
                http_get=run.CloudRunV2ServiceTemplateContainersStartupProbeHttpGet(
                    path=READY_PATH
                ),
                period_seconds=self.startup_probe.period,
                timeout_seconds=self.startup_probe.period,
                failure_threshold=self.startup_probe.failures,
            ),
            liveness_probe=run.CloudRunV2ServiceTemplateContainersLivenessProbe(
                http_get=run.CloudRunV2ServiceTemplateContainersLivenessProbeHttpGet(
                    path=LIVE_PATH
                ),
                period_seconds=_LIVENESS_PERIOD_SECONDS,
                timeout_seconds=_LIVENESS_TIMEOUT_SECONDS,
                failure_threshold=_LIVENESS_FAILURES,
            ),
            volume_mounts=[
                run.CloudRunV2ServiceTemplateContainersVolumeMounts(
                    name=volume.name, mount_path=volume.path
                )
                for volume in self.volumes
            ],
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


def _vpc_access(run: ModuleType, vpc: VpcAccess) -> Any:
    return run.CloudRunV2ServiceTemplateVpcAccess(
        egress=vpc.egress.value,
        network_interfaces=[
            run.CloudRunV2ServiceTemplateVpcAccessNetworkInterfaces(
                network=vpc.network, subnetwork=vpc.subnetwork, tags=list(vpc.tags)
            )
        ],
    )
