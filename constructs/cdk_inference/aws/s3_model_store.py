"""A bucket of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aws_cdk import CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from cdk_inference.aws.model_upload import ModelUpload
from cdk_inference.contract import stored_path
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

    from cdk_inference.model import InferenceModel

_KEEP_REPLACED: Final = Duration.days(90)
_KEEP_LOGS: Final = Duration.days(90)
_ABANDONED: Final = Duration.days(7)


class S3ModelStore(Construct):
    """A bucket of models, each at ``<name>/<version>/model.onnx`` with its other files beside it.

    Versioned, encrypted, reached over TLS only, and never public. What is replaced or deleted can
    be had back for 90 days. Requests are logged to a bucket of their own for as long.

    Costs, for each month, $0.023 for each GB and $0.0004 for each thousand requests; reading from
    the same region costs nothing else: https://aws.amazon.com/s3/pricing/

    Args:
        bucket: one that is there already; then nothing is made, and it is as safe as it is.
            Default: a new one.
        encryption_key: the bucket's, if you manage it: readers then need it, and grants give it.
            Default: Amazon S3's own keys, which cost nothing.

    Attributes:
        bucket: the bucket, kept when the stack is deleted.

    Raises:
        ConfigurationError: both ``bucket`` and ``encryption_key`` are given.

    Example:
        >>> store = S3ModelStore(stack, "Models")
        >>> MLInferenceFunction(stack, "Digits", model=model, model_source=ModelSource.s3(store))
    """

    bucket: Final[s3.IBucket]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: s3.IBucket | None = None,
        encryption_key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        _check(bucket, encryption_key, problems)
        problems.raise_if_any()

        self.bucket = bucket or self._make_bucket(encryption_key)
        self._upload: ModelUpload | None = None
        self._deployed: dict[str, tuple[InferenceModel, CustomResource]] = {}

    def deploy(self, model: InferenceModel) -> CustomResource:
        """Put a model into the store when the app is deployed; once, however often it is called.

        The CDK uploads the files as it does all assets, and Amazon S3 copies them. They stay when
        the model, or the stack, is deleted: functions of earlier versions may read them.

        Returns:
            What whoever reads the model must depend on.

        Raises:
            ConfigurationError: a file is larger than 5 GB, or another model has the same name and
                version.
        """
        path = stored_path(model.name, model.version)
        if path not in self._deployed:
            self._upload = self._upload or ModelUpload(self, "Upload", bucket=self.bucket)
            self._deployed[path] = model, self._upload.copy(model)
        deployed, copy = self._deployed[path]
        problems = Problems(self.node.path)
        _check_same(model, deployed, problems)
        problems.raise_if_any()
        return copy

    def grant_read(self, grantee: iam.IGrantable, *paths: str) -> iam.Grant:
        """Allow ``grantee`` to read objects.

        Args:
            grantee: who.
            paths: which; a ``*`` at the end of one stands for anything. Default: all of them.

        Example:
            >>> store.grant_read(role, "digits/*")
        """
        if self.bucket.encryption_key is not None:
            self.bucket.encryption_key.grant_decrypt(grantee)
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["s3:GetObject"],
            resource_arns=[self.bucket.arn_for_objects(path) for path in paths or ("*",)],
        )

    def _make_bucket(self, encryption_key: kms.IKey | None) -> s3.Bucket:
        managed, own = s3.BucketEncryption.S3_MANAGED, s3.BucketEncryption.KMS
        bucket = s3.Bucket(
            self,
            "Bucket",
            versioned=True,
            encryption=own if encryption_key else managed,
            encryption_key=encryption_key,
            bucket_key_enabled=encryption_key is not None,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=RemovalPolicy.RETAIN,
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=_KEEP_REPLACED,
                    abort_incomplete_multipart_upload_after=_ABANDONED,
                )
            ],
        )
        cfn_bucket = cast("s3.CfnBucket", bucket.node.default_child)
        cfn_bucket.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=self._access_logs(bucket).bucket_name
        )
        return bucket

    def _access_logs(self, bucket: s3.Bucket) -> s3.Bucket:
        """Where requests to ``bucket`` are logged.

        The CDK's own way there is an access control list, unless a feature flag is set.
        """
        access_logs = s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=RemovalPolicy.RETAIN,
            lifecycle_rules=[s3.LifecycleRule(expiration=_KEEP_LOGS)],
        )
        access_logs.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[access_logs.arn_for_objects("*")],
                conditions={
                    "ArnLike": {"aws:SourceArn": bucket.bucket_arn},
                    "StringEquals": {"aws:SourceAccount": Stack.of(self).account},
                },
            )
        )
        return access_logs


def _check(bucket: s3.IBucket | None, encryption_key: kms.IKey | None, problems: Problems) -> None:
    if bucket is not None and encryption_key is not None:
        problems.add(
            "bucket and encryption_key are both given",
            allowed="a bucket that is there already has its own encryption",
            remedy="leave encryption_key out",
        )


def _check_same(model: InferenceModel, deployed: InferenceModel, problems: Problems) -> None:
    if model.sha256 != deployed.sha256:
        problems.add(
            f"{model.path} and {deployed.path} are both version {model.version!r} of"
            f" {model.name!r}",
            allowed="a store has one file for each version",
            remedy="give one of them another version",
        )
