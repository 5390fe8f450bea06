"""Batches of handwritten digits on Google Cloud, from bucket to bucket."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdk_inference import InferenceModel
from cdk_inference.gcp import BatchTasks, CloudRunBatchJob, Gpu, RuntimeImageRepository
from cdktn import TerraformStack
from cdktn_provider_google.provider import GoogleProvider

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"
_REGION: Final = "europe-west1"
_REQUESTS: Final = "gs://my-digits/requests/"


class CloudRunBatchStack(TerraformStack):
    """The same requests, answered by ten tasks on CPUs or by one on a GPU.

    Example:
        >>> CloudRunBatchStack(cdktn.App(), "CloudRunBatchStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        GoogleProvider(self, "Google", region=_REGION)
        model = InferenceModel.from_file(_MODEL)
        images = RuntimeImageRepository(self, "Images", region=_REGION)
        CloudRunBatchJob(
            self,
            "Digits",
            model=model,
            image=images.build("Digits", model=model),
            region=_REGION,
            input=_REQUESTS,
            tasks=BatchTasks(10, parallelism=5),
        )
        CloudRunBatchJob(
            self,
            "DigitsOnGpu",
            model=model,
            image=images.build("DigitsOnGpu", model=model, gpu=Gpu.L4),
            region=_REGION,
            gpu=Gpu.L4,
            input=_REQUESTS,
            output="gs://my-digits/answers-of-the-gpu/",
            tasks=BatchTasks(timeout=timedelta(minutes=30)),
        )
