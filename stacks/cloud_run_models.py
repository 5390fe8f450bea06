"""The digits model from a bucket of Cloud Storage: loaded by its own container, and mounted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdk_inference import InferenceModel
from cdk_inference.gcp import CloudRunService, ModelBucket, ModelSource, RuntimeImageRepository
from cdktn import TerraformStack
from cdktn_provider_google.provider import GoogleProvider

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"
_REGION: Final = "europe-west1"


class CloudRunModelsStack(TerraformStack):
    """One image without a model, one bucket with it, and two services of both.

    Callers need a grant. The services are not protected from deletion, because it is a
    demonstration.

    Example:
        >>> CloudRunModelsStack(cdktn.App(), "CloudRunModelsStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        GoogleProvider(self, "Google", region=_REGION)
        model = InferenceModel.from_file(_MODEL)
        image = RuntimeImageRepository(self, "Images", region=_REGION).build("Runtime", model=None)
        uri = ModelBucket(self, "Models", region=_REGION).put(model)
        for name, source in {
            "Loaded": ModelSource.loaded(uri),
            "Mounted": ModelSource.mounted(uri),
        }.items():
            CloudRunService(
                self,
                name,
                model=model,
                image=image,
                region=_REGION,
                model_source=source,
                deletion_protection=False,
            )
