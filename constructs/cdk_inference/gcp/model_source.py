"""Where a service's instances have their model from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from cdk_inference.contract import CACHE_DIR, MODEL_SHA256, MODEL_URI, model_uri
from cdk_inference.gcp.volume import BucketAccess, MemoryVolume

if TYPE_CHECKING:
    from cdk_inference.model import InferenceModel
    from cdk_inference.validation import Problems

_OBJECT: Final = re.compile(r"gs://(?P<bucket>[^/]+)/[^/].*[^/]")
_CACHE_FOLDER: Final = "/mnt/models"
_BESIDE_THE_FILES_MIB: Final = 16  # locks, and what rounding takes


@dataclass(frozen=True)
class ModelSource:
    """Where an instance has its model from: made with one of the two methods here.

    Example:
        >>> ModelSource.bucket("gs://my-models/digits/model.onnx")
    """

    uri: str | None

    @classmethod
    def baked(cls) -> ModelSource:
        """From the image, which has the model in it: each model is an image of its own."""
        return cls(None)

    @classmethod
    def bucket(cls, uri: str) -> ModelSource:
        """From a bucket of Cloud Storage: the runtime fetches it when an instance starts.

        The file in the bucket must be the one that the app was synthesized with: its digest is
        checked, and an instance with another one does not start. It is kept in the instance's
        memory, which is chosen accordingly.

        Args:
            uri: ``gs://BUCKET/PATH``, of the ONNX file. Its external data are beside it.
        """
        return cls(uri)

    @property
    def bucket_access(self) -> tuple[BucketAccess, ...]:
        """What the service's account needs for it."""
        match = _OBJECT.fullmatch(self.uri or "")
        return (BucketAccess(match["bucket"], "roles/storage.objectViewer"),) if match else ()

    def check(self, problems: Problems) -> None:
        """Record a problem unless the URI, if there is one, is of an object in a bucket."""
        if self.uri is not None and not _OBJECT.fullmatch(self.uri):
            problems.add(
                f"model_source is {self.uri!r}",
                allowed="it is the URI of an ONNX file in a bucket",
                remedy="write it as in 'gs://my-models/digits/model.onnx'",
            )

    @property
    def place(self) -> str:
        """How a message says that the file takes memory, too."""
        return "" if self.uri is None else ", kept in memory with its file,"

    def memory_mib(self, model: InferenceModel) -> int:
        """What the model's files take of an instance's memory."""
        return 0 if self.uri is None else ceil(model.size_bytes / 2**20) + _BESIDE_THE_FILES_MIB

    def volumes(self, model: InferenceModel) -> list[MemoryVolume]:
        """Where the runtime keeps what it fetches."""
        if self.uri is None:
            return []
        return [MemoryVolume("models", _CACHE_FOLDER, self.memory_mib(model))]

    def environment(self, model: InferenceModel) -> dict[str, str]:
        """The runtime's settings for it."""
        if self.uri is None:
            return {MODEL_URI: model_uri(model.name)}
        return {MODEL_URI: self.uri, MODEL_SHA256: model.sha256}

    @property
    def cache_environment(self) -> dict[str, str]:
        """The runtime's setting for those volumes."""
        return {} if self.uri is None else {CACHE_DIR: _CACHE_FOLDER}
