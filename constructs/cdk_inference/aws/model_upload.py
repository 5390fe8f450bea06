"""Copies models from where the CDK's command line uploads them into a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import CustomResource, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets

from cdk_inference.artifact import code_archive
from cdk_inference.aws.nag import acknowledge
from cdk_inference.contract import AWS_CLOUDFORMATION_HANDLER, MODEL_FILE, stored_path
from cdk_inference.limits import LAMBDA_DEFAULT_PYTHON, LAMBDA_TIMEOUT, S3_COPY_BYTES
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import aws_s3 as s3

    from cdk_inference.model import InferenceModel

_MEMORY_MB: Final = 256


class ModelUpload(Construct):
    """A custom resource that has Amazon S3 copy models into a bucket when the app is deployed.

    CloudFormation has no resource for that. The function behind it sees no byte of a model, may
    read the uploaded files and write their copies, and nothing else.

    Args:
        bucket: where models go.
    """

    def __init__(self, scope: Construct, id: str, *, bucket: s3.IBucket) -> None:
        super().__init__(scope, id)
        self._bucket = bucket
        log_group = logs.LogGroup(
            self,
            "LogGroup",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self._role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(self._role)
        if bucket.encryption_key is not None:
            bucket.encryption_key.grant_encrypt_decrypt(self._role)
        self._function = lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_asset(str(code_archive(LAMBDA_DEFAULT_PYTHON).path)),
            handler=AWS_CLOUDFORMATION_HANDLER,
            runtime=lambda_.Runtime(f"python{LAMBDA_DEFAULT_PYTHON}", lambda_.RuntimeFamily.PYTHON),
            memory_size=_MEMORY_MB,
            timeout=Duration.seconds(LAMBDA_TIMEOUT.maximum),
            role=self._role,
            log_group=log_group,
            description="Copies models that the CDK uploaded",
        )
        acknowledge(self._function, "L1", "the code is tested with this Python")

    def copy(self, model: InferenceModel) -> CustomResource:
        """Have a model's files copied to their place in the bucket.

        Raises:
            ConfigurationError: one of them is larger than Amazon S3 copies in one request.
        """
        _check_sizes(model)
        scope = Construct(self, f"{model.name}:{model.version}")
        folder = stored_path(model.name, model.version).removesuffix(MODEL_FILE)
        files = []
        for name, file in model.files.items():
            asset = s3_assets.Asset(scope, name.replace("/", ":"), path=str(file))
            self._allow("s3:GetObject", asset.bucket, asset.s3_object_key)
            self._allow("s3:PutObject", self._bucket, folder + name)
            source = f"{asset.s3_bucket_name}/{asset.s3_object_key}"
            files.append({"Key": folder + name, "Source": source})
        return CustomResource(
            scope,
            "Copy",
            resource_type="Custom::ModelCopy",
            service_token=self._function.function_arn,
            properties={"Bucket": self._bucket.bucket_name, "Files": files},
        )

    def _allow(self, action: str, bucket: s3.IBucket, key: str) -> None:
        statement = iam.PolicyStatement(actions=[action], resources=[bucket.arn_for_objects(key)])
        self._role.add_to_policy(statement)


def _check_sizes(model: InferenceModel) -> None:
    problems = Problems(str(model.path))
    for file in model.files.values():
        size = file.stat().st_size
        if size > S3_COPY_BYTES:
            problems.add(
                f"{file} has {size / 2**30:.1f} GB",
                allowed=f"Amazon S3 copies {S3_COPY_BYTES / 2**30:.0f} GB in one request",
                remedy="upload it yourself (aws s3 cp), and give the function a StoredModel",
            )
    problems.raise_if_any()
