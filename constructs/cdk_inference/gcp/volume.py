"""Volumes of a Cloud Run service."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from cdk_inference.limits import CLOUD_RUN_DISK_MIB

if TYPE_CHECKING:
    from types import ModuleType

    from cdk_inference.gcp.secret import Secret
    from cdk_inference.validation import Problems

# The user that the images of runtime/images/ run as.
_IMAGE_USER: Final = 65534


@dataclass(frozen=True)
class BucketAccess:
    """What a service's account may do in a bucket.

    Attributes:
        bucket: its name.
        role: of Cloud Storage.
    """

    bucket: str
    role: str


class Volume(Protocol):
    """A folder that an instance's container has beside its image.

    Attributes:
        name: in the service.
        path: of the folder.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def path(self) -> str: ...  # noqa: D102

    @property
    def is_preview(self) -> bool:
        """Whether Google has it in preview."""

    @property
    def bucket_access(self) -> tuple[BucketAccess, ...]:
        """What the service's account needs for it."""

    def check(self, run: ModuleType, problems: Problems) -> None:
        """Record a problem if the provider of the module ``run`` does not know all of it."""

    def block(self, run: ModuleType) -> Any:
        """Its block, of the provider's module ``cloud_run_v2_service``."""


class Medium(Enum):
    """What a volume of an instance's own is kept on; it is gone with the instance.

    Example:
        >>> ModelSource.loaded("gs://my-models/digits/model.onnx", medium=Medium.DISK)
    """

    MEMORY = "MEMORY"
    """The memory of the container that writes it."""

    DISK = "DISK"
    """A disk (10 GB in all for an instance, unless Google raises that). Only with cdktn, and in
    preview: https://cloud.google.com/run/docs/configuring/services/ephemeral-disk
    """


@dataclass(frozen=True)
class ScratchVolume:
    """A volume that starts empty, for all containers of an instance that mount it.

    Attributes:
        name: in the service.
        path: of the folder.
        medium: what it is kept on.
        size_mib: how much it may hold.
    """

    name: str
    path: str
    medium: Medium
    size_mib: int
    bucket_access: tuple[BucketAccess, ...] = ()

    @property
    def is_preview(self) -> bool:
        """See :class:`Volume`."""
        return self.medium is Medium.DISK

    def check(self, run: ModuleType, problems: Problems) -> None:
        """See :class:`Volume`."""
        if self.medium is Medium.DISK and not _knows_mount_options(run):
            problems.add(
                f"the volume {self.name!r} is on {self.medium}",
                allowed="the provider of cdktf, of 2025, knows volumes in memory only",
                remedy="use the bindings of cdktn, or Medium.MEMORY",
            )
        if self.medium is Medium.DISK and self.size_mib > CLOUD_RUN_DISK_MIB:
            problems.add(
                f"the volume {self.name!r} takes {self.size_mib} MiB of disk",
                allowed=f"an instance of Cloud Run has {CLOUD_RUN_DISK_MIB} in all",
                remedy="use ModelSource.mounted(…) for a model of this size",
            )

    def block(self, run: ModuleType) -> Any:
        """See :class:`Volume`."""
        directory = run.CloudRunV2ServiceTemplateVolumesEmptyDir(
            medium=self.medium.value, size_limit=f"{self.size_mib}Mi"
        )
        return run.CloudRunV2ServiceTemplateVolumes(name=self.name, empty_dir=directory)


@dataclass(frozen=True)
class ModelVolume:
    """A bucket of Cloud Storage, mounted for everyone to read and nobody to write.

    Attributes:
        name: in the service.
        path: of the folder.
        bucket: its name.
        mount_options: of Cloud Storage FUSE.
    """

    name: str
    path: str
    bucket: str
    mount_options: tuple[str, ...]
    is_preview: ClassVar[bool] = False

    @property
    def bucket_access(self) -> tuple[BucketAccess, ...]:
        """See :class:`Volume`."""
        return (BucketAccess(self.bucket, "roles/storage.objectViewer"),)

    def check(self, run: ModuleType, problems: Problems) -> None:
        """See :class:`Volume`."""
        if self.mount_options and not _knows_mount_options(run):
            problems.add(
                f"mount_options are {', '.join(self.mount_options)}",
                allowed="the provider of cdktf, of 2025, has none for a bucket",
                remedy="use the bindings of cdktn, or leave them out",
            )
        dashed = [option for option in self.mount_options if option.startswith("-")]
        if dashed:
            problems.add(
                f"mount_options has {', '.join(dashed)}",
                allowed="Cloud Run takes them without leading dashes",
                remedy="write them as in 'metadata-cache-ttl-secs=-1'",
            )

    def block(self, run: ModuleType) -> Any:
        """See :class:`Volume`."""
        options = {"mount_options": list(self.mount_options)} if self.mount_options else {}
        mounted = run.CloudRunV2ServiceTemplateVolumesGcs(
            bucket=self.bucket, read_only=True, **options
        )
        return run.CloudRunV2ServiceTemplateVolumes(name=self.name, gcs=mounted)


@dataclass(frozen=True)
class SecretVolume:
    """A version of a secret, as a file.

    Attributes:
        name: in the service.
        path: of the folder.
        secret: the version.
        file_name: in the folder.
    """

    name: str
    path: str
    secret: Secret
    file_name: str
    bucket_access: tuple[BucketAccess, ...] = ()
    is_preview: ClassVar[bool] = False

    @property
    def file(self) -> str:
        """The file's path."""
        return f"{self.path}/{self.file_name}"

    def check(self, run: ModuleType, problems: Problems) -> None:
        """See :class:`Volume`."""

    def block(self, run: ModuleType) -> Any:
        """See :class:`Volume`."""
        items = run.CloudRunV2ServiceTemplateVolumesSecretItems(
            path=self.file_name, version=self.secret.version
        )
        secret = run.CloudRunV2ServiceTemplateVolumesSecret(secret=self.secret.name, items=[items])
        return run.CloudRunV2ServiceTemplateVolumes(name=self.name, secret=secret)


@dataclass(frozen=True)
class BucketVolume:
    """A bucket of Cloud Storage, mounted for the images' own user to write to.

    Attributes:
        name: in the service.
        path: of the folder.
        bucket: its name.
    """

    name: str
    path: str
    bucket: str
    is_preview: ClassVar[bool] = False

    @property
    def bucket_access(self) -> tuple[BucketAccess, ...]:
        """See :class:`Volume`."""
        return (BucketAccess(self.bucket, "roles/storage.objectUser"),)

    def check(self, run: ModuleType, problems: Problems) -> None:
        """See :class:`Volume`."""
        if not _knows_mount_options(run):
            problems.add(
                f"the bucket {self.bucket!r} is mounted at {self.path}",
                allowed="the provider of cdktf cannot say as whom (mount_options), and the"
                " container, which does not run as root, could not write there",
                remedy="use the bindings of cdktn, or leave the bucket out",
            )

    def block(self, run: ModuleType) -> Any:
        """See :class:`Volume`."""
        mounted = run.CloudRunV2ServiceTemplateVolumesGcs(
            bucket=self.bucket, mount_options=[f"uid={_IMAGE_USER}", f"gid={_IMAGE_USER}"]
        )
        return run.CloudRunV2ServiceTemplateVolumes(name=self.name, gcs=mounted)


def _knows_mount_options(run: ModuleType) -> bool:
    return hasattr(run.CloudRunV2ServiceTemplateVolumesGcs, "mount_options")
