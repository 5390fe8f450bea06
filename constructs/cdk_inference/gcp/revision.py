"""A revision of a Cloud Run service, as the provider's blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdk_inference.limits import CLOUD_RUN_PREVIEW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from cdk_inference.gcp.container import Container
    from cdk_inference.gcp.machine import Machine
    from cdk_inference.gcp.network import VpcAccess
    from cdk_inference.gcp.scaling import Scaling
    from cdk_inference.gcp.volume import Volume


@dataclass(frozen=True)
class Revision:
    """What a revision is made of; the attributes are those of ``CloudRun``'s arguments.

    Attributes:
        containers: the one that serves, and those beside it.
    """

    containers: Sequence[Container]
    machine: Machine
    scaling: Scaling
    vpc: VpcAccess | None
    labels: Mapping[str, str]

    @property
    def launch_stage(self) -> str | None:
        """What a service of it must say; ``None`` where nothing of it is in preview."""
        gpu = self.machine.gpu
        is_preview = any(volume.is_preview for volume in self._volumes) or (
            gpu is not None and gpu.limits.is_preview
        )
        return CLOUD_RUN_PREVIEW if is_preview else None

    @property
    def _volumes(self) -> list[Volume]:
        volumes = {volume.name: volume for one in self.containers for volume in one.volumes}
        return list(volumes.values())

    def template(self, run: ModuleType, service_account: str) -> Any:
        """Its block, of the provider's module ``cloud_run_v2_service``.

        Args:
            run: that module.
            service_account: the e-mail address of the account that instances act as.
        """
        gpu = self.machine.gpu
        return run.CloudRunV2ServiceTemplate(
            containers=[container.block(run) for container in self.containers],
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
            volumes=[volume.block(run) for volume in self._volumes],
            vpc_access=self.vpc and _vpc_access(run, self.vpc),
        )


def _vpc_access(run: ModuleType, vpc: VpcAccess) -> Any:
    return run.CloudRunV2ServiceTemplateVpcAccess(
        egress=vpc.egress.value,
        network_interfaces=[
            run.CloudRunV2ServiceTemplateVpcAccessNetworkInterfaces(
                network=vpc.network, subnetwork=vpc.subnetwork, tags=list(vpc.tags)
            )
        ],
    )
