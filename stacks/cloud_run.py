"""The digits model on Google Cloud: on CPUs for whoever asks, and on GPUs for whoever may."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdk_inference import InferenceModel
from cdk_inference.gcp import CloudRunGpuService, CloudRunService, Gpu, RuntimeImageRepository
from cdktn import TerraformStack
from cdktn_provider_google.provider import GoogleProvider

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"
_REGION: Final = "europe-west1"


class CloudRunStack(TerraformStack):
    """The digits model behind a public URL, which costs nothing while nobody asks.

    The project is that of the environment, ``GOOGLE_CLOUD_PROJECT``. Public and not protected from
    deletion, because it is a demonstration.

    Example:
        >>> CloudRunStack(cdktn.App(), "CloudRunStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        GoogleProvider(self, "Google", region=_REGION)
        model = InferenceModel.from_file(_MODEL)
        images = RuntimeImageRepository(self, "Images", region=_REGION)
        service = CloudRunService(
            self,
            "Digits",
            model=model,
            image=images.build("Digits", model=model),
            region=_REGION,
            deletion_protection=False,
        )
        service.allow_unauthenticated()


class CloudRunGpuStack(TerraformStack):
    """The digits model on an NVIDIA L4, for callers that were allowed to.

    Example:
        >>> CloudRunGpuStack(cdktn.App(), "CloudRunGpuStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        GoogleProvider(self, "Google", region=_REGION)
        model = InferenceModel.from_file(_MODEL)
        images = RuntimeImageRepository(self, "Images", region=_REGION)
        CloudRunGpuService(
            self,
            "Digits",
            model=model,
            image=images.build("Digits", model=model, gpu=Gpu.L4),
            region=_REGION,
            gpu=Gpu.L4,
        )
