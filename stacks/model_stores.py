"""The digits model, in each place that a function can have its model from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from cdk_inference import (
    EfsModelStore,
    InferenceModel,
    MLInferenceFunction,
    ModelSource,
    Packaging,
    S3FilesModelStore,
    S3ModelStore,
)

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"


class S3ModelStack(Stack):
    """A model in a bucket, fetched by an extension while the runtime starts.

    Example:
        >>> S3ModelStack(cdk.App(), "S3ModelStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        source = ModelSource.s3(S3ModelStore(self, "Models"), model_cache=True)
        _digits(self, "Fetched", source)


class EfsModelStack(Stack):
    """A model in a file system that AWS DataSync fills from a bucket every hour.

    Until it has done so once, the function does not start: run the output ``StartCommand``.

    Example:
        >>> EfsModelStack(cdk.App(), "EfsModelStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        bucket = S3ModelStore(self, "Models")
        bucket.deploy(InferenceModel.from_file(_MODEL))
        store = EfsModelStore(self, "FileSystem")
        store.load_from(bucket)
        _digits(self, "Mounted", ModelSource.efs(store))


class S3FilesModelStack(Stack):
    """A model in a bucket that is mounted as a file system.

    Example:
        >>> S3FilesModelStack(cdk.App(), "S3FilesModelStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        store = S3FilesModelStore(self, "Files", models=S3ModelStore(self, "Models"))
        _digits(self, "MountedBucket", ModelSource.s3_files(store))


def _digits(stack: Stack, id: str, source: ModelSource) -> MLInferenceFunction:
    return MLInferenceFunction(
        stack,
        id,
        model=InferenceModel.from_file(_MODEL),
        model_source=source,
        packaging=Packaging.ZIP,
    )
