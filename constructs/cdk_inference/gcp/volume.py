"""Volumes of a Cloud Run service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from types import ModuleType

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
    def bucket_access(self) -> tuple[BucketAccess, ...]:
        """What the service's account needs for it."""

    def check(self, run: ModuleType, problems: Problems) -> None:
        """Record a problem if the provider of the module ``run`` does not know all of it."""

    def block(self, run: ModuleType) -> Any:
        """Its block, of the provider's module ``cloud_run_v2_service``."""


@dataclass(frozen=True)
class MemoryVolume:
    """A volume in the instance's memory, gone with the instance.

    Attributes:
        name: in the service.
        path: of the folder.
        size_mib: how much it may hold.
    """

    name: str
    path: str
    size_mib: int
    bucket_access: tuple[BucketAccess, ...] = ()

    def check(self, run: ModuleType, problems: Problems) -> None:
        """See :class:`Volume`."""

    def block(self, run: ModuleType) -> Any:
        """See :class:`Volume`."""
        directory = run.CloudRunV2ServiceTemplateVolumesEmptyDir(
            medium="MEMORY", size_limit=f"{self.size_mib}Mi"
        )
        return run.CloudRunV2ServiceTemplateVolumes(name=self.name, empty_dir=directory)


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

    @property
    def bucket_access(self) -> tuple[BucketAccess, ...]:
        """See :class:`Volume`."""
        return (BucketAccess(self.bucket, "roles/storage.objectUser"),)

    def check(self, run: ModuleType, problems: Problems) -> None:
        """See :class:`Volume`."""
        if not hasattr(run.CloudRunV2ServiceTemplateVolumesGcs, "mount_options"):
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
