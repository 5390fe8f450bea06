"""Images that Terraform builds and pushes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.archive import digest
from cdk_inference.artifact import image_context
from cdk_inference.cache import cached
from cdk_inference.cuda import CUDA_IMAGES
from cdk_inference.gcp.bindings import bindings_of
from constructs import Construct

if TYPE_CHECKING:
    from pathlib import Path

    from cdk_inference.gcp.gpu import Gpu
    from cdk_inference.model import InferenceModel

_BASE_IMAGE: Final = "python:3.13-slim"
_PLATFORM: Final = "linux/amd64"
_COPY: Final = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n"
_NO_IMAGE_NAME: Final = re.compile(r"[^a-z0-9]+")


class BuiltImage(Construct):
    """An image in a repository; make one with :class:`RuntimeImageRepository`.

    Args:
        url: of the repository.
        provider: for Docker, allowed to push there.
        name: of the image there.
        context: the folder that it is built in, whose name tells its content.
        base_image: what it is built on.

    Attributes:
        uri: the image by its digest.
    """

    uri: Final[str]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        url: str,
        provider: Any,
        name: str,
        context: Path,
        base_image: str,
    ) -> None:
        super().__init__(scope, id)
        bindings = bindings_of(self)
        name = _NO_IMAGE_NAME.sub("-", name.lower()).strip("-")

        # In the synthesized folder, so that Terraform needs nothing else of this machine.
        asset = bindings.core.TerraformAsset(
            self,
            "Context",
            path=str(context),
            type=bindings.core.AssetType.DIRECTORY,
            asset_hash=context.name,
        )
        images = bindings.docker("image")
        image = images.Image(
            self,
            "Image",
            provider=provider,
            # Other content gets another name, and so is built anew.
            name=f"{url}/{name}:{digest(context.name, base_image)}",
            build_attribute=images.ImageBuild(
                context=asset.path, build_args={"BASE_IMAGE": base_image}, platform=_PLATFORM
            ),
            keep_locally=True,
        )
        pushed = bindings.docker("registry_image").RegistryImage(
            self,
            "Pushed",
            provider=provider,
            name=image.name,
            # Older revisions may run it; the repository's policy removes it in time.
            keep_remotely=True,
        )
        self.uri = f"{url}/{name}@{pushed.sha256_digest}"


def runtime_context(model: InferenceModel | None, gpu: Gpu | None) -> tuple[Path, str]:
    """The folder to build the runtime in, and the base image that goes with it."""
    if gpu is None:
        return image_context("cloud-run", model), _BASE_IMAGE
    cuda = CUDA_IMAGES[gpu.limits.cuda]
    context = image_context("cloud-run-gpu", model, requirements=cuda.requirements)
    return context, cuda.base_image


def copy_context() -> Path:
    """The folder to build an image in that is nothing but its base image."""
    key = digest(_COPY)

    def build(path: Path) -> None:
        path.mkdir()
        (path / "Dockerfile").write_text(_COPY)

    return cached(f"images/{key}", build)
