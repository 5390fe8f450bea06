"""Where a service's instances have their model from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from cdk_inference.contract import CACHE_DIR, MODEL_SHA256, MODEL_URI, model_uri
from cdk_inference.gcp.volume import BucketAccess, Medium, ModelVolume, ScratchVolume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdk_inference.gcp.volume import Volume
    from cdk_inference.model import InferenceModel
    from cdk_inference.validation import Problems

_OBJECT: Final = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<path>[^/].*[^/])")
_FOLDER: Final = "/mnt/models"
_VOLUME: Final = "models"
_BESIDE_THE_FILES_MIB: Final = 16  # locks, and what rounding takes


@dataclass(frozen=True)
class ModelSource:
    """Where an instance has its model from: made with one of the four methods here.

    The file in a bucket must be the one that the app was synthesized with: its digest is checked,
    and an instance with another one does not start.

    Example:
        >>> ModelSource.bucket("gs://my-models/digits/model.onnx")
    """

    @staticmethod
    def baked() -> ModelSource:
        """From the image, which has the model in it: each model is an image of its own."""
        return ModelSource()

    @staticmethod
    def bucket(uri: str, *, medium: Medium = Medium.MEMORY) -> ModelSource:
        """From a bucket of Cloud Storage: the runtime fetches it when an instance starts.

        Args:
            uri: ``gs://BUCKET/PATH``, of the ONNX file, as :meth:`ModelBucket.put` returns it. Its
                external data are beside it.
            medium: where it is kept: in the instance's memory, which is chosen accordingly, or on a
                disk of the instance's own. Default: in memory.
        """
        return _Fetched(uri, medium)

    @staticmethod
    def loaded(uri: str, *, medium: Medium = Medium.MEMORY) -> ModelSource:
        """From a bucket of Cloud Storage, by a container beside that of the runtime.

        The runtime's container starts when the model is there, with a startup time of its own. The
        loader is the same image with another command, and is paid for as long as the instance runs.

        Args:
            uri: as of :meth:`bucket`.
            medium: of the volume that both containers share. Default: memory, the loader's.
        """
        return _Loaded(uri, medium)

    @staticmethod
    def mounted(uri: str, *, mount_options: Sequence[str] = ()) -> ModelSource:
        """From a bucket of Cloud Storage that is mounted read-only, with Cloud Storage FUSE.

        Args:
            uri: as of :meth:`bucket`.
            mount_options: of Cloud Storage FUSE, without leading dashes, such as
                ``metadata-cache-ttl-secs=-1``. The provider of cdktf has none. Default: those of
                Cloud Run: https://cloud.google.com/run/docs/configuring/services/cloud-storage-volume-mounts
        """
        return _Mounted(uri, tuple(mount_options))

    @property
    def is_baked(self) -> bool:
        """Whether the model is in the image, or in a function's source."""
        return True

    @property
    def has_loader(self) -> bool:
        """Whether a container of its own loads the model."""
        return False

    @property
    def needs_volume(self) -> bool:
        """Whether instances cannot do without a volume, as those of a function must."""
        return False

    @property
    def bucket_access(self) -> tuple[BucketAccess, ...]:
        """What the service's account needs for it, beside what volumes need."""
        return ()

    def check(self, problems: Problems) -> None:
        """Record what cannot be a source."""

    @property
    def place(self) -> str:
        """How a message says that the file takes memory, too."""
        return ""

    def memory_mib(self, model: InferenceModel) -> int:  # noqa: ARG002 - others need it
        """What the model's files take of the memory of the runtime's container."""
        return 0

    def loader_memory_mib(self, model: InferenceModel) -> int:  # noqa: ARG002 - others need it
        """What they take of that of the loader's container."""
        return 0

    def volumes(self, model: InferenceModel) -> list[Volume]:  # noqa: ARG002 - others need it
        """Where the model is, or is kept."""
        return []

    def environment(self, model: InferenceModel) -> dict[str, str]:
        """The runtime's settings for it."""
        return {MODEL_URI: model_uri(model.name)}

    @property
    def cache_environment(self) -> dict[str, str]:
        """The runtime's setting for those volumes."""
        return {}


@dataclass(frozen=True)
class _InBucket(ModelSource):
    uri: str

    @property
    def is_baked(self) -> bool:
        return False

    def check(self, problems: Problems) -> None:
        if not _OBJECT.fullmatch(self.uri):
            problems.add(
                f"model_source is {self.uri!r}",
                allowed="it is the URI of an ONNX file in a bucket",
                remedy="write it as in 'gs://my-models/digits/model.onnx'",
            )

    def environment(self, model: InferenceModel) -> dict[str, str]:
        digest = model.pinned_sha256
        return {MODEL_URI: self.uri, **({MODEL_SHA256: digest} if digest else {})}


@dataclass(frozen=True)
class _Fetched(_InBucket):
    medium: Medium

    @property
    def needs_volume(self) -> bool:
        return self.medium is Medium.DISK

    @property
    def bucket_access(self) -> tuple[BucketAccess, ...]:
        match = _OBJECT.fullmatch(self.uri)
        return (BucketAccess(match["bucket"], "roles/storage.objectViewer"),) if match else ()

    @property
    def place(self) -> str:
        return ", kept in memory with its file," if self._takes_memory else ""

    def memory_mib(self, model: InferenceModel) -> int:
        return _volume_mib(model) if self._takes_memory else 0

    def volumes(self, model: InferenceModel) -> list[Volume]:
        return [ScratchVolume(_VOLUME, _FOLDER, self.medium, _volume_mib(model))]

    @property
    def cache_environment(self) -> dict[str, str]:
        return {CACHE_DIR: _FOLDER}

    @property
    def _takes_memory(self) -> bool:
        return self.medium is Medium.MEMORY


@dataclass(frozen=True)
class _Loaded(_Fetched):
    @property
    def has_loader(self) -> bool:
        return True

    @property
    def needs_volume(self) -> bool:
        return True

    @property
    def place(self) -> str:
        return ""

    # What is written into memory counts for the container that wrote it:
    # https://cloud.google.com/run/docs/configuring/services/in-memory-volume-mounts
    def memory_mib(self, model: InferenceModel) -> int:  # noqa: ARG002
        return 0

    def loader_memory_mib(self, model: InferenceModel) -> int:
        return _volume_mib(model) if self._takes_memory else 0


@dataclass(frozen=True)
class _Mounted(_InBucket):
    mount_options: tuple[str, ...]

    @property
    def needs_volume(self) -> bool:
        return True

    def volumes(self, model: InferenceModel) -> list[Volume]:  # noqa: ARG002
        match = _OBJECT.fullmatch(self.uri)
        bucket = match["bucket"] if match else self.uri
        return [ModelVolume(_VOLUME, _FOLDER, bucket, self.mount_options)]

    def environment(self, model: InferenceModel) -> dict[str, str]:
        match = _OBJECT.fullmatch(self.uri)
        path = match["path"] if match else self.uri
        return {**super().environment(model), MODEL_URI: f"{_FOLDER}/{path}"}


def _volume_mib(model: InferenceModel) -> int:
    return ceil(model.size_bytes / 2**20) + _BESIDE_THE_FILES_MIB
