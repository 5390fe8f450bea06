"""A Cloud Run service as the backend of a load balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.iam import grant_invoke
from cdk_inference.gcp.naming import unique_name
from cdk_inference.limits import GOOGLE_COMPUTE_NAME_LENGTH
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdk_inference.gcp.cloud_run import CloudRun


class EdgeBackend(Construct):
    """A service behind a load balancer; made by :class:`ServiceEdge`.

    Args:
        service: what answers.
        policy: the id of the Cloud Armor policy before it.
        iap_members: who may pass Identity-Aware Proxy; nobody has to where there are none.
        project_number: of the project, whose proxy sends the requests then.

    Attributes:
        backend: the ``google_compute_backend_service``.
    """

    backend: Final[Any]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: CloudRun,
        policy: str,
        iap_members: Sequence[str],
        project_number: str,
    ) -> None:
        super().__init__(scope, id)
        bindings = bindings_of(self)
        name = unique_name(self, GOOGLE_COMPUTE_NAME_LENGTH)
        groups = bindings.google("compute_region_network_endpoint_group")
        group = groups.ComputeRegionNetworkEndpointGroup(
            self,
            "Group",
            name=name,
            region=service.region,
            network_endpoint_type="SERVERLESS",
            cloud_run=groups.ComputeRegionNetworkEndpointGroupCloudRun(
                service=service.service.name
            ),
        )
        backends = bindings.google("compute_backend_service")
        self.backend = backends.ComputeBackendService(
            self,
            "Service",
            name=name,
            description=f"Serves the ONNX model {service.model.name}",
            load_balancing_scheme="EXTERNAL_MANAGED",
            protocol="HTTPS",
            backend=[backends.ComputeBackendServiceBackend(group=group.id)],
            security_policy=policy,
            iap=backends.ComputeBackendServiceIap(enabled=bool(iap_members)),
            log_config=backends.ComputeBackendServiceLogConfig(enable=True, sample_rate=1),
        )
        if iap_members:
            proxy = f"serviceAccount:service-{project_number}@gcp-sa-iap.iam.gserviceaccount.com"
            grant_invoke(self, "ProxyInvokes", service.service, proxy)
            self._let_pass(iap_members)

    def _let_pass(self, members: Sequence[str]) -> None:
        iap = bindings_of(self).google("iap_web_backend_service_iam_member")
        for index, member in enumerate(members):
            iap.IapWebBackendServiceIamMember(
                self,
                f"Passes{index}",
                web_backend_service=self.backend.name,
                role="roles/iap.httpsResourceAccessor",
                member=member,
            )
