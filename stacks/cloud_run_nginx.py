"""The digits model behind nginx, which limits what one client can ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdk_inference import InferenceModel
from cdk_inference.gcp import CloudRunService, NginxSidecar, RuntimeImageRepository
from cdktn import TerraformStack
from cdktn_provider_google.provider import GoogleProvider

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"
_REGION: Final = "europe-west1"


class CloudRunNginxStack(TerraformStack):
    """The digits model behind a public URL, 10 requests a second for each client and 1 MB for each
    request.

    Public and not protected from deletion, because it is a demonstration.

    Example:
        >>> CloudRunNginxStack(cdktn.App(), "CloudRunNginxStack")
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
            nginx=NginxSidecar(
                images.copy("Nginx", "nginx:1.29-alpine"), requests_per_second=10, max_body_mib=1
            ),
            deletion_protection=False,
        )
        service.allow_unauthenticated()
