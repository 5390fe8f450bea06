"""What Cloud Run services with and without a GPU share."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypedDict

from cdk_inference.contract import DEFAULT_PREDICT_PATH
from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.environment import check_names, default_settings, model_environment
from cdk_inference.gcp.iam import (
    EVERYONE,
    grant_buckets,
    grant_invoke,
    grant_secrets,
    service_account,
)
from cdk_inference.gcp.labels import check_labels
from cdk_inference.gcp.model_source import ModelSource
from cdk_inference.gcp.naming import unique_name
from cdk_inference.gcp.network import Ingress
from cdk_inference.gcp.revision import Revision
from cdk_inference.gcp.runtime_container import (
    check_loader,
    loader_container,
    runtime_container,
)
from cdk_inference.gcp.scaling import Scaling, default_concurrency
from cdk_inference.gcp.startup_probe import StartupProbe
from cdk_inference.gcp.tokens import are_known
from cdk_inference.gcp.traffic import check_traffic
from cdk_inference.limits import CLOUD_RUN_NAME_LENGTH
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from cdk_inference.gcp.machine import Machine
    from cdk_inference.gcp.network import VpcAccess
    from cdk_inference.gcp.nginx_sidecar import NginxSidecar
    from cdk_inference.gcp.secret import Secret
    from cdk_inference.gcp.traffic import TrafficShare
    from cdk_inference.gcp.volume import Volume
    from cdk_inference.model import InferenceModel

DEFAULT_PORT: Final = 8080
DEFAULT_TIMEOUT: Final = timedelta(seconds=60)

_IMAGE: Final = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


class CloudRunOptions(TypedDict, total=False):
    """The options that Cloud Run services with and without a GPU share, all optional.

    Keys:
        name: of the service, and the first part of its URL. Default: made from where the construct
            is, so that two are never the same.
        model_source: Default: :meth:`ModelSource.baked`, the model in the image, since an instance
            then starts without asking anyone for it.
        environment: settings of the runtime such as ``INFERENCE_THREADS``, and variables of your
            own.
        secrets: versions of secrets, by the environment variables that they become.
        min_instances: kept running without requests, and paid. Default: 0.
        concurrency: requests that one instance gets at the same time, 1 to 1,000. Default: four for
            each vCPU.
        timeout: how long a request may take, up to an hour, in whole seconds. Default: a minute.
        startup_probe: Default: :meth:`StartupProbe.for_model`.
        ingress: Default: :attr:`Ingress.ALL`. Whoever reaches the service still needs
            :meth:`CloudRun.grant_invoke`.
        vpc: a network to reach private addresses by. Default: none.
        labels: of the service and its revisions, for bills and searches.
        traffic: Default: everything to the newest revision.
        custom_audiences: URLs that callers' tokens may be for, beside the service's own.
        deletion_protection: whether Terraform refuses to delete the service. Default: it does.
        port: where the container that gets requests listens. Default: 8080.
        nginx: stands in front of the runtime. Default: nothing does.
    """

    name: str | None
    model_source: ModelSource | None
    environment: Mapping[str, str] | None
    secrets: Mapping[str, Secret] | None
    min_instances: int
    concurrency: int | None
    timeout: timedelta
    startup_probe: StartupProbe | None
    ingress: Ingress
    vpc: VpcAccess | None
    labels: Mapping[str, str] | None
    traffic: Sequence[TrafficShare]
    custom_audiences: Sequence[str]
    deletion_protection: bool
    port: int
    nginx: NginxSidecar | None


class CloudRun(Construct):
    """A Cloud Run service; use :class:`CloudRunService` or :class:`CloudRunGpuService`.

    Args:
        machine: what an instance has.
        volumes: beside that of the model.
        machine_environment: variables that follow from ``machine``, and that users may not set.
        model, image, region, max_instances: as :class:`CloudRunService`.

    The other arguments are those of :class:`CloudRunOptions`.
    """

    service: Final[Any]
    service_account: Final[Any]
    model: Final[InferenceModel]
    region: Final[str]
    ingress: Final[Ingress]
    machine: Final[Machine]
    scaling: Final[Scaling]
    startup_probe: Final[StartupProbe]
    url: Final[str]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        machine: Machine,
        volumes: Sequence[Volume] = (),
        machine_environment: Mapping[str, str] | None = None,
        model: InferenceModel,
        image: str,
        region: str,
        max_instances: int,
        name: str | None = None,
        model_source: ModelSource | None = None,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, Secret] | None = None,
        min_instances: int = 0,
        concurrency: int | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        startup_probe: StartupProbe | None = None,
        ingress: Ingress = Ingress.ALL,
        vpc: VpcAccess | None = None,
        labels: Mapping[str, str] | None = None,
        traffic: Sequence[TrafficShare] = (),
        custom_audiences: Sequence[str] = (),
        deletion_protection: bool = True,
        port: int = DEFAULT_PORT,
        nginx: NginxSidecar | None = None,
    ) -> None:
        super().__init__(scope, id)
        bindings = bindings_of(self)
        run = bindings.google("cloud_run_v2_service")
        self.model = model
        self.region = region
        self.ingress = ingress
        name = name or unique_name(self, CLOUD_RUN_NAME_LENGTH)
        source = model_source or ModelSource.baked()
        environment, secrets, labels = environment or {}, secrets or {}, labels or {}
        concurrency = default_concurrency(machine.cpu) if concurrency is None else concurrency
        scaling = Scaling(min_instances, max_instances, concurrency, timeout)
        startup_probe = startup_probe or StartupProbe.for_model(model.size_bytes)
        self.machine, self.scaling, self.startup_probe = machine, scaling, startup_probe
        volumes = [
            *source.volumes(model),
            *volumes,
            *(nginx.runtime_volumes if nginx else []),
        ]
        model_variables = {**model_environment(model, source), **source.cache_environment}
        own_environment = {
            **model_variables,
            **(machine_environment or {}),
            **(nginx.runtime_environment if nginx else {}),
        }

        problems = Problems(self.node.path)
        if are_known(bindings, name):
            _check_name(name, problems)
        if are_known(bindings, image):
            check_image(image, problems)
        source.check(problems)
        if source.has_loader:
            check_loader(model, source, port, problems)
        machine.check(bindings, model, source, region, problems)
        for volume in volumes:
            volume.check(run, problems)
        check_names(environment, secrets, own_environment, problems)
        scaling.check(bindings, problems)
        startup_probe.check(problems)
        check_traffic(bindings, traffic, problems)
        check_labels(bindings, labels, problems)
        if nginx is not None:
            nginx.check(port, problems)
            if are_known(bindings, nginx.image):
                check_image(nginx.image, problems, "nginx.image")
        problems.raise_if_any()

        self.service_account = service_account(self, f"Serves the ONNX model {model.name}")
        grants = [
            *grant_secrets(
                self, self.service_account, {**secrets, **(nginx.secrets if nginx else {})}
            ),
            *grant_buckets(self, self.service_account, [source, *volumes]),
        ]
        runtime = runtime_container(
            image=image,
            machine=machine,
            port=port,
            environment={**default_settings(scaling), **environment, **own_environment},
            secrets=secrets,
            volumes=volumes,
            startup_probe=startup_probe,
            source=source,
            nginx=nginx,
        )
        containers = [runtime]
        if source.has_loader:
            containers.append(loader_container(runtime, model, source, model_variables))
        if nginx is not None:
            containers.append(nginx.container(runtime, scaling, port, startup_probe))
        revision = Revision(containers, machine, scaling, vpc, labels)
        self.service = run.CloudRunV2Service(
            self,
            "Service",
            name=name,
            location=region,
            description=f"Serves the ONNX model {model.name}",
            ingress=ingress.value,
            launch_stage=revision.launch_stage,
            template=revision.template(run, self.service_account.email),
            traffic=[_traffic(run, share) for share in traffic],
            custom_audiences=list(custom_audiences),
            labels=dict(labels),
            deletion_protection=deletion_protection,
            depends_on=grants,
        )
        self.url = self.service.uri
        bindings.core.TerraformOutput(
            self,
            "Url",
            value=self.url,
            description=f"POST predictions to {DEFAULT_PREDICT_PATH} there",
        )

    def grant_invoke(self, id: str, member: str) -> None:
        """Allow ``member`` to send requests.

        Args:
            id: of the grant, unique in this service.
            member: an IAM principal, such as ``group:data@example.org``.

        Example:
            >>> service.grant_invoke("Shop", f"serviceAccount:{shop.email}")
        """
        grant_invoke(self, id, self.service, member)

    def allow_unauthenticated(self) -> None:
        """Allow everyone on the internet to send requests. What that can cost is bounded by
        ``max_instances``.
        """
        grant_invoke(self, "Everyone", self.service, EVERYONE)


def check_image(image: str, problems: Problems, name: str = "image") -> None:
    """Record a problem unless ``image`` names its content."""
    if not _IMAGE.fullmatch(image):
        problems.add(
            f"{name} is {image!r}",
            allowed="a tag can be moved to another image; only a digest names one for good",
            remedy="write it as in 'europe-west1-docker.pkg.dev/my-project/models/digits@sha256:…',"
            " which `docker push` prints, or have RuntimeImageRepository.build make it",
        )


def _check_name(name: str, problems: Problems) -> None:
    if not _NAME.fullmatch(name) or len(name) > CLOUD_RUN_NAME_LENGTH:
        problems.add(
            f"name is {name!r}",
            allowed="Cloud Run takes lower-case letters, digits and hyphens, a letter first and no"
            f" hyphen last, {CLOUD_RUN_NAME_LENGTH} at most",
            remedy="change it, or leave it out",
        )


def _traffic(run: ModuleType, share: TrafficShare) -> Any:
    kind = "LATEST" if share.revision is None else "REVISION"
    return run.CloudRunV2ServiceTraffic(
        type=f"TRAFFIC_TARGET_ALLOCATION_TYPE_{kind}",
        percent=share.percent,
        revision=share.revision,
        tag=share.tag,
    )
