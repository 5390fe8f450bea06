"""A Google Cloud Function that serves an ONNX model."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.artifact import google_function_archive
from cdk_inference.contract import CORS_ORIGINS, DEFAULT_PREDICT_PATH
from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.environment import check_names, default_settings, model_environment
from cdk_inference.gcp.iam import EVERYONE, grant_buckets, grant_invoke, service_account
from cdk_inference.gcp.labels import check_labels
from cdk_inference.gcp.machine import Machine
from cdk_inference.gcp.model_source import ModelSource
from cdk_inference.gcp.naming import unique_name
from cdk_inference.gcp.network import Ingress
from cdk_inference.gcp.scaling import Scaling, default_concurrency
from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import (
    CLOUD_FUNCTION_DEFAULT_PYTHON,
    CLOUD_FUNCTION_OWN_ENVIRONMENT,
    CLOUD_FUNCTION_PYTHON_VERSIONS,
    CLOUD_RUN_NAME_LENGTH,
    GOOGLE_BUCKET_NAME_LENGTH,
    GOOGLE_PROJECT_ID_LENGTH,
)
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdk_inference.model import InferenceModel

_ENTRY_POINT: Final = "handler"
_ORIGIN: Final = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:\d+)?")
_ACCOUNT: Final = re.compile(r"projects/[^/]+/serviceAccounts/[^/]+")
_INGRESS: Final = {
    Ingress.ALL: "ALLOW_ALL",
    Ingress.INTERNAL: "ALLOW_INTERNAL_ONLY",
    Ingress.INTERNAL_AND_LOAD_BALANCER: "ALLOW_INTERNAL_AND_GCLB",
}


class CloudFunctionService(Construct):
    """A Cloud Function (2nd generation) that answers requests with an ONNX model's predictions.

    The source, with the runtime and, where it is baked, the model, is uploaded by Terraform, and
    built by Google; it takes no Docker. The function is a Cloud Run service underneath: prefer
    :class:`CloudRunService` for its own HTTP server, for probes, secrets and networks.

    Args:
        model: what to serve.
        region: where, for example ``europe-west1``.
        model_source: Default: :meth:`ModelSource.baked`, the model in the source.
        cpu: as :class:`CloudRunService`.
        memory: as :class:`CloudRunService`.
        python_version: ``3.11`` to ``3.13``. Default: 3.13.
        environment: settings of the runtime such as ``INFERENCE_THREADS``, and variables of your
            own.
        cors_origins: browser origins that may call, such as ``https://example.org``, or ``*``; the
            runtime answers their preflight requests. Default: none. A browser sends those without
            credentials, so they are answered only after :meth:`allow_unauthenticated`.
        min_instances: kept running without requests, and paid. Default: 0.
        max_instances: how many run at most. Default: 10.
        concurrency: requests that one instance gets at the same time, 1 to 1,000. Default: four for
            each vCPU.
        timeout: how long a request may take, up to an hour, in whole seconds. Default: a minute.
        ingress: Default: :attr:`Ingress.ALL`. Whoever reaches the function still needs
            :meth:`grant_invoke`.
        build_service_account: what Google builds the function as,
            ``projects/PROJECT/serviceAccounts/EMAIL``, with the roles ``logging.logWriter``,
            ``artifactregistry.writer`` and ``storage.objectViewer`` of the project. Default: the
            project's own for builds, which in one made after July 2024 may have too few:
            https://cloud.google.com/functions/docs/securing/build-custom-sa
        labels: of the function.

    Attributes:
        function: the ``google_cloudfunctions2_function``.
        service_account: what instances act as. It may read the model's bucket, if there is one, and
            nothing else.
        model: what it serves.
        region: where.
        url: of the function; predictions are posted to ``{url}/predict``.

    Raises:
        ConfigurationError: something cannot work; the message lists everything that cannot.
        PackagingError: the cache cannot be written.

    Example:
        >>> function = CloudFunctionService(stack, "Digits", model=model, region="europe-west1")
        >>> function.grant_invoke("Shop", "serviceAccount:shop@my-project.iam.gserviceaccount.com")
    """

    function: Final[Any]
    service_account: Final[Any]
    model: Final[InferenceModel]
    region: Final[str]
    url: Final[str]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: InferenceModel,
        region: str,
        model_source: ModelSource | None = None,
        cpu: int | None = None,
        memory: str | None = None,
        python_version: str = CLOUD_FUNCTION_DEFAULT_PYTHON,
        environment: Mapping[str, str] | None = None,
        cors_origins: Sequence[str] = (),
        min_instances: int = 0,
        max_instances: int = 10,
        concurrency: int | None = None,
        timeout: timedelta = timedelta(minutes=1),
        ingress: Ingress = Ingress.ALL,
        build_service_account: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        bindings = bindings_of(self)
        self.model = model
        self.region = region
        source = model_source or ModelSource.baked()
        machine = Machine.for_model(model, source, cpu=cpu, memory=memory, cpu_idle=True)
        concurrency = default_concurrency(machine.cpu) if concurrency is None else concurrency
        scaling = Scaling(min_instances, max_instances, concurrency, timeout)
        own_environment = model_environment(model, source)
        environment = environment or {}
        labels = dict(labels or {})

        problems = Problems(self.node.path)
        _check_python(python_version, problems)
        for origin in filter(partial(are_known, bindings), cors_origins):
            _check_origin(origin, problems)
        if build_service_account is not None and are_known(bindings, build_service_account):
            _check_account(build_service_account, problems)
        source.check(problems)
        _check_source(source, problems)
        machine.check(bindings, model, source, region, problems)
        own_names = {*own_environment, *CLOUD_FUNCTION_OWN_ENVIRONMENT}
        check_names(environment, (), own_names, problems)
        check_labels(bindings, labels, problems)
        scaling.check(bindings, problems)
        problems.raise_if_any()

        self.service_account = service_account(self, f"Serves the ONNX model {model.name}")
        grants = grant_buckets(self, self.service_account, [source])
        archive = self._uploaded(model if source.is_baked else None, labels)
        functions = bindings.google("cloudfunctions2_function")
        self.function = functions.Cloudfunctions2Function(
            self,
            "Function",
            # The service that it runs as has the same name, by which callers are allowed in.
            name=unique_name(self, CLOUD_RUN_NAME_LENGTH),
            location=region,
            description=f"Serves the ONNX model {model.name}",
            labels=labels,
            build_config=functions.Cloudfunctions2FunctionBuildConfig(
                runtime=f"python{python_version.replace('.', '')}",
                entry_point=_ENTRY_POINT,
                service_account=build_service_account,
                source=functions.Cloudfunctions2FunctionBuildConfigSource(
                    storage_source=functions.Cloudfunctions2FunctionBuildConfigSourceStorageSource(
                        bucket=archive.bucket, object=archive.name
                    )
                ),
            ),
            service_config=functions.Cloudfunctions2FunctionServiceConfig(
                available_cpu=str(machine.cpu),
                available_memory=machine.memory,
                environment_variables={
                    **default_settings(scaling),
                    **({CORS_ORIGINS: ",".join(cors_origins)} if cors_origins else {}),
                    **environment,
                    **own_environment,
                },
                min_instance_count=min_instances,
                max_instance_count=max_instances,
                max_instance_request_concurrency=concurrency,
                timeout_seconds=scaling.timeout_seconds,
                ingress_settings=_INGRESS[ingress],
                all_traffic_on_latest_revision=True,
                service_account_email=self.service_account.email,
            ),
            depends_on=grants,
        )
        self.url = self.function.service_config.uri
        bindings.core.TerraformOutput(
            self,
            "Url",
            value=self.url,
            description=f"POST predictions to {DEFAULT_PREDICT_PATH} there",
        )

    def grant_invoke(self, id: str, member: str) -> None:
        """Allow ``member`` to send requests; arguments as :meth:`CloudRunService.grant_invoke`."""
        grant_invoke(self, id, self.function, member)

    def allow_unauthenticated(self) -> None:
        """Allow everyone on the internet to send requests. What that can cost is bounded by
        ``max_instances``.
        """
        grant_invoke(self, "Everyone", self.function, EVERYONE)

    def _uploaded(self, model: InferenceModel | None, labels: Mapping[str, str]) -> Any:
        """The source, as an object in a bucket that nobody else reads."""
        bindings = bindings_of(self)
        archive = google_function_archive(model)
        asset = bindings.core.TerraformAsset(
            self,
            "Source",
            path=str(archive.path),
            type=bindings.core.AssetType.FILE,
            asset_hash=archive.path.stem,
        )
        client = bindings.google("data_google_client_config").DataGoogleClientConfig(self, "Client")
        # Names of buckets are Google's, not the project's: the project's own id makes it unique.
        name = unique_name(self, GOOGLE_BUCKET_NAME_LENGTH - GOOGLE_PROJECT_ID_LENGTH - 1)
        bucket = bindings.google("storage_bucket").StorageBucket(
            self,
            "Bucket",
            name=f"{client.project}-{name}",
            location=self.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            force_destroy=True,  # it holds nothing but what Terraform can upload again
            labels=dict(labels),
        )
        return bindings.google("storage_bucket_object").StorageBucketObject(
            self,
            "Archive",
            # Other content gets another name, and so is deployed.
            name=f"{archive.path.stem}.zip",
            bucket=bucket.name,
            source=asset.path,
        )


def _check_python(version: str, problems: Problems) -> None:
    if version not in CLOUD_FUNCTION_PYTHON_VERSIONS:
        problems.add(
            f"python_version is {version!r}",
            allowed=f"supported are {', '.join(CLOUD_FUNCTION_PYTHON_VERSIONS)}",
            remedy="choose one of them",
        )


def _check_origin(origin: str, problems: Problems) -> None:
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        problems.add(
            f"cors_origins has {origin!r}",
            allowed="an origin is a scheme and a host as browsers send them, or '*' for all",
            remedy="write it as in 'https://example.org', without a path",
        )


def _check_account(account: str, problems: Problems) -> None:
    if not _ACCOUNT.fullmatch(account):
        problems.add(
            f"build_service_account is {account!r}",
            allowed="Cloud Functions takes the whole name of an account",
            remedy="write it as in 'projects/my-project/serviceAccounts/builder@my-project.iam."
            "gserviceaccount.com', which is the attribute `name` of a google_service_account",
        )


def _check_source(source: ModelSource, problems: Problems) -> None:
    if source.needs_volume:
        problems.add(
            "model_source needs a volume or a container of its own",
            allowed="a function has one container, and no volumes",
            remedy="use ModelSource.bucket(…) in memory, ModelSource.baked(), or CloudRunService",
        )
