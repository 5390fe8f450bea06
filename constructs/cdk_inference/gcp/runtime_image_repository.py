"""A repository for images of the runtime, which builds them too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.labels import check_labels
from cdk_inference.gcp.naming import unique_name
from cdk_inference.gcp.runtime_image import BuiltImage, copy_context, runtime_context
from cdk_inference.gcp.tokens import are_known
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdk_inference.gcp.gpu import Gpu
    from cdk_inference.model import InferenceModel

DEFAULT_KEEP: Final = 10
_WITHOUT_MODEL: Final = "runtime"
_NAME_LENGTH: Final = 63
_UNUSED_SECONDS: Final = 30 * 24 * 3600


class RuntimeImageRepository(Construct):
    """A repository of Artifact Registry for images of the runtime, and the way to build them.

    Images older than 30 days are removed, but for the newest ten of each name. Cloud Run keeps a
    copy of what its revisions run, so that an old revision still starts:
    https://cloud.google.com/run/docs/deploying#images

    Args:
        region: where, for example ``europe-west1``; best that of the services.
        keep: how many images of each name are kept, however old. Default: 10.
        labels: of the repository.

    Attributes:
        repository: the ``google_artifact_registry_repository``.
        url: what images' names start with: ``REGION-docker.pkg.dev/PROJECT/REPOSITORY``.

    Raises:
        ConfigurationError: ``keep`` is less than 1, or Google Cloud would refuse ``labels``.

    Example:
        >>> images = RuntimeImageRepository(stack, "Images", region="europe-west1")
        >>> images.build("Digits", model=model)
    """

    repository: Final[Any]
    url: Final[str]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        region: str,
        keep: int = DEFAULT_KEEP,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._bindings = bindings_of(self)
        problems = Problems(self.node.path)
        if are_known(self._bindings, keep) and keep < 1:
            problems.add(
                f"keep is {keep}",
                allowed="a service needs an image when it is deployed",
                remedy="give 1 or more",
            )
        check_labels(self._bindings, labels or {}, problems)
        problems.raise_if_any()

        registry = self._bindings.google("artifact_registry_repository")
        self.repository = registry.ArtifactRegistryRepository(
            self,
            "Repository",
            repository_id=unique_name(self, _NAME_LENGTH),
            location=region,
            format="DOCKER",
            description="Images of the inference runtime",
            labels=dict(labels or {}),
            cleanup_policies=[
                registry.ArtifactRegistryRepositoryCleanupPolicies(
                    id="remove-old",
                    action="DELETE",
                    condition=registry.ArtifactRegistryRepositoryCleanupPoliciesCondition(
                        tag_state="ANY", older_than=f"{_UNUSED_SECONDS}s"
                    ),
                ),
                registry.ArtifactRegistryRepositoryCleanupPolicies(
                    id="keep-newest",
                    action="KEEP",
                    most_recent_versions=(
                        registry.ArtifactRegistryRepositoryCleanupPoliciesMostRecentVersions(
                            keep_count=keep
                        )
                    ),
                ),
            ],
        )
        self._host = f"{region}-docker.pkg.dev"
        self.url = f"{self._host}/{self.repository.project}/{self.repository.repository_id}"
        self._docker: Any = None

    def build(
        self,
        id: str,
        *,
        model: InferenceModel | None,
        gpu: Gpu | None = None,
        base_image: str | None = None,
    ) -> str:
        """Have ``terraform apply`` build an image and push it here, by the Docker that runs there.

        Args:
            id: of the image, unique in this repository.
            model: baked into it; ``None`` if instances have it from elsewhere.
            gpu: the GPU that it is for. Default: none; the image is for CPUs.
            base_image: what it is built on: an image with Python and pip, or for a GPU one of
                Debian or Ubuntu with CUDA and cuDNN. Default: ``python:3.13-slim``, or that of
                :mod:`cdk_inference.cuda`.

        Returns:
            The image by its digest, for the argument ``image`` of a service.

        Raises:
            PackagingError: the cache cannot be written.

        Example:
            >>> image = images.build("Digits", model=model, gpu=Gpu.L4)
            >>> CloudRunGpuService(stack, "Digits", model=model, image=image, region="europe-west1")
        """
        context, default_base = runtime_context(model, gpu)
        name = model.name if model else _WITHOUT_MODEL
        return self._built(id, name, context, base_image or default_base)

    def copy(self, id: str, image: str) -> str:
        """Have ``terraform apply`` copy an image here, by its tag, and name it by its digest,
        so that what runs does not change with what others publish.

        Args:
            id: of the image, unique in this repository.
            image: such as ``nginx:1.29-alpine``, for linux/amd64.

        Returns:
            The image by its digest.

        Raises:
            PackagingError: the cache cannot be written.

        Example:
            >>> NginxSidecar(images.copy("Nginx", "nginx:1.29-alpine"))
        """
        name = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
        return self._built(id, name, copy_context(), image)

    def _built(self, id: str, name: str, context: Path, base_image: str) -> str:
        image = BuiltImage(
            self,
            id,
            url=self.url,
            provider=self._docker_provider(),
            name=name,
            context=context,
            base_image=base_image,
        )
        return image.uri

    def _docker_provider(self) -> Any:
        """Docker, allowed to push here as whoever runs Terraform; made for the first image."""
        if self._docker is None:
            clients = self._bindings.google("data_google_client_config")
            client = clients.DataGoogleClientConfig(self, "Client")
            docker = self._bindings.docker("provider")
            self._docker = docker.DockerProvider(
                self,
                "Docker",
                alias=self.node.addr,
                registry_auth=[
                    docker.DockerProviderRegistryAuth(
                        address=self._host,
                        username="oauth2accesstoken",
                        password=client.access_token,
                    )
                ],
            )
        return self._docker
