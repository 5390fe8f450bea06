"""A bucket of models."""

from __future__ import annotations

import posixpath
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.archive import digest
from cdk_inference.contract import MODEL_FILE, stored_path
from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.labels import check_labels
from cdk_inference.gcp.naming import unique_name
from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import (
    CLOUD_STORAGE_SOFT_DELETE_DAYS,
    GOOGLE_BUCKET_NAME_LENGTH,
    GOOGLE_PROJECT_ID_LENGTH,
)
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdk_inference.model import InferenceModel

_KEEP_REPLACED_DAYS: Final = 90
_ABANDONED_DAYS: Final = 7
_SOFT_DELETE: Final = timedelta(days=7)
_KEY: Final = re.compile(
    r"projects/[^/]+/locations/(?P<location>[^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+"
)


class ModelBucket(Construct):
    """A bucket of Cloud Storage for models, each at ``<name>/<version>/model.onnx`` with its other
    files beside it.

    Nobody can make it public, and only IAM says who may read it (uniform bucket-level access).
    What is replaced or deleted can be had back: for 90 days as an older version, and after that for
    as long as ``soft_delete`` says.

    Costs, for each month, $0.02 for each GB in a region, older versions and what is softly deleted
    included, and $0.0004 for each thousand reads; reading from the same region costs nothing else:
    https://cloud.google.com/storage/pricing

    Args:
        region: where, best that of the services, for example ``europe-west1``.
        versioning: whether what is replaced or deleted is kept for 90 days. Default: it is.
        kms_key: a key of Cloud KMS that you manage, in the same region, as
            ``projects/P/locations/REGION/keyRings/R/cryptoKeys/K``. Cloud Storage gets the role to
            use it; readers need none. Default: Google's own keys, which cost nothing.
        soft_delete: how long what is gone, even the bucket, can be restored: 7 to 90 days, or none.
            Default: 7 days, as Google has it.
        labels: of the bucket.

    Attributes:
        bucket: the ``google_storage_bucket``. Terraform deletes it only when it is empty.
        name: of the bucket.
        region: where.

    Raises:
        ConfigurationError: something cannot work; the message lists everything that cannot.

    Example:
        >>> models = ModelBucket(stack, "Models", region="europe-west1")
        >>> source = ModelSource.mounted(models.put(model))
    """

    bucket: Final[Any]
    name: Final[str]
    region: Final[str]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        region: str,
        versioning: bool = True,
        kms_key: str | None = None,
        soft_delete: timedelta = _SOFT_DELETE,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._bindings = bindings_of(self)
        self._put: dict[str, tuple[InferenceModel, str]] = {}
        problems = Problems(self.node.path)
        if kms_key is not None and are_known(self._bindings, kms_key, region):
            _check_key(kms_key, region, problems)
        check_soft_delete(soft_delete, problems)
        check_labels(self._bindings, labels or {}, problems)
        problems.raise_if_any()

        buckets = self._bindings.google("storage_bucket")
        clients = self._bindings.google("data_google_client_config")
        client = clients.DataGoogleClientConfig(self, "Client")
        # Names of buckets are Google's, not the project's: the project's own id makes it unique.
        own_name = unique_name(self, GOOGLE_BUCKET_NAME_LENGTH - GOOGLE_PROJECT_ID_LENGTH - 1)
        self.bucket = buckets.StorageBucket(
            self,
            "Bucket",
            name=f"{client.project}-{own_name}",
            location=region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning=buckets.StorageBucketVersioning(enabled=versioning),
            soft_delete_policy=buckets.StorageBucketSoftDeletePolicy(
                retention_duration_seconds=int(soft_delete.total_seconds())
            ),
            lifecycle_rule=_lifecycle(buckets, versioning),
            encryption=kms_key and buckets.StorageBucketEncryption(default_kms_key_name=kms_key),
            labels=dict(labels or {}),
            depends_on=[self._allow_key(kms_key)] if kms_key else None,
        )
        self.name = self.bucket.name
        self.region = region

    def put(self, model: InferenceModel) -> str:
        """Have ``terraform apply`` upload a model; once, however often it is called.

        Returns:
            Its URI, ``gs://BUCKET/NAME/VERSION/model.onnx``, for :class:`ModelSource`. Whoever uses
            it is deployed when all files are there.

        Raises:
            ConfigurationError: another model has the same name and version.

        Example:
            >>> ModelSource.loaded(models.put(model))
        """
        path = stored_path(model.name, model.version)
        if path not in self._put:
            self._put[path] = model, f"gs://{self._upload(path, model).bucket}/{path}"
        there, uri = self._put[path]
        problems = Problems(self.node.path)
        if there.sha256 != model.sha256:
            problems.add(
                f"two models are called {model.name!r} in version {model.version!r}",
                allowed="one name and version is one model",
                remedy="give one of them another version, or leave version out",
            )
        problems.raise_if_any()
        return uri

    def grant_read(self, id: str, member: str) -> None:
        """Allow ``member`` to read the models, and to list them. A service with a
        :class:`ModelSource` of this bucket is granted that by itself.

        Args:
            id: of the grant, unique in this bucket.
            member: an IAM principal, such as ``group:data@example.org``.

        Example:
            >>> models.grant_read("Training", f"serviceAccount:{training.email}")
        """
        members = self._bindings.google("storage_bucket_iam_member")
        members.StorageBucketIamMember(
            self, id, bucket=self.name, role="roles/storage.objectViewer", member=member
        )

    def _allow_key(self, kms_key: str) -> Any:
        """Let Cloud Storage itself, which encrypts and decrypts for whoever may read, use a key."""
        accounts = self._bindings.google("data_google_storage_project_service_account")
        members = self._bindings.google("kms_crypto_key_iam_member")
        account = accounts.DataGoogleStorageProjectServiceAccount(self, "CloudStorage")
        return members.KmsCryptoKeyIamMember(
            self,
            "KeyAccess",
            crypto_key_id=kms_key,
            role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
            member=account.member,
        )

    def _upload(self, path: str, model: InferenceModel) -> Any:
        """The object of the ONNX file, which is there only when the model's other files are."""
        folder = posixpath.dirname(path)
        others = [
            self._object(f"{folder}/{name}", model, file, depends_on=None)
            for name, file in sorted(model.files.items())
            if name != MODEL_FILE
        ]
        return self._object(path, model, model.files[MODEL_FILE], depends_on=others)

    def _object(
        self, path: str, model: InferenceModel, file: Path, *, depends_on: list[Any] | None
    ) -> Any:
        core = self._bindings.core
        # In the synthesized folder, so that Terraform needs nothing else of this machine.
        asset = core.TerraformAsset(
            self,
            f"File-{path}".replace("/", "-"),
            path=str(file),
            type=core.AssetType.FILE,
            asset_hash=digest(model.sha256, path),
        )
        objects = self._bindings.google("storage_bucket_object")
        return objects.StorageBucketObject(
            self,
            f"Object-{path}".replace("/", "-"),
            name=path,
            bucket=self.name,
            source=asset.path,
            depends_on=depends_on,
        )


def _lifecycle(buckets: Any, versioning: bool) -> list[Any]:
    """An end to what would cost without one."""
    abandoned = buckets.StorageBucketLifecycleRule(
        action=buckets.StorageBucketLifecycleRuleAction(type="AbortIncompleteMultipartUpload"),
        condition=buckets.StorageBucketLifecycleRuleCondition(age=_ABANDONED_DAYS),
    )
    if not versioning:
        return [abandoned]
    replaced = buckets.StorageBucketLifecycleRule(
        action=buckets.StorageBucketLifecycleRuleAction(type="Delete"),
        condition=buckets.StorageBucketLifecycleRuleCondition(
            days_since_noncurrent_time=_KEEP_REPLACED_DAYS, with_state="ARCHIVED"
        ),
    )
    return [abandoned, replaced]


def _check_key(key: str, region: str, problems: Problems) -> None:
    match = _KEY.fullmatch(key)
    if match is None:
        problems.add(
            f"kms_key is {key!r}",
            allowed="it is the name of a key of Cloud KMS",
            remedy="write it as in 'projects/P/locations/REGION/keyRings/R/cryptoKeys/K'",
        )
    elif match["location"] != region.lower():
        problems.add(
            f"kms_key is in {match['location']}, and region is {region!r}",
            allowed="Cloud Storage takes a key of the bucket's own location",
            remedy="change one of them",
        )


def check_soft_delete(soft_delete: timedelta, problems: Problems) -> None:
    """Record a problem unless Cloud Storage takes it."""
    days = soft_delete / timedelta(days=1)
    if days:
        problems.check_within("soft_delete", days, CLOUD_STORAGE_SOFT_DELETE_DAYS)
