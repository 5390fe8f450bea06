"""Log groups of APIs: with a retention, encrypted, and there after the stack."""

from __future__ import annotations

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs

from cdk_inference.aws.warnings import warn
from constructs import Construct


def kept_log_group(
    scope: Construct,
    id: str,
    *,
    retention: logs.RetentionDays,
    encryption_key: kms.IKey | None,
    name: str | None = None,
) -> logs.LogGroup:
    """A log group that stays when the stack is deleted.

    Args:
        scope: where it is made.
        id: its construct id.
        retention: how long entries are kept.
        encryption_key: a key of the user's, which CloudWatch Logs is then allowed to use for the
            groups of this account, if the key is made in this app. ``None``: CloudWatch's own key,
            which costs nothing.
        name: where a service has fixed it.
    """
    if encryption_key is not None:
        _let_logs_use(encryption_key, scope)
    return logs.LogGroup(
        scope,
        id,
        log_group_name=name,
        retention=retention,
        encryption_key=encryption_key,
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )


def _let_logs_use(key: kms.IKey, scope: Construct) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    stack = Stack.of(scope)
    groups = stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name="*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    service = iam.ServicePrincipal(
        f"logs.{stack.region}.amazonaws.com",
        conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
    )
    statement = iam.PolicyStatement(
        principals=[service],
        actions=[
            "kms:Encrypt*",
            "kms:Decrypt*",
            "kms:ReEncrypt*",
            "kms:GenerateDataKey*",
            "kms:Describe*",
        ],
        resources=["*"],
    )
    if not key.add_to_resource_policy(statement).statement_added:
        warn(
            scope,
            "logKey",
            "log_encryption_key was looked up",
            allowed="unless its policy lets CloudWatch Logs use it, the deployment fails",
            remedy="let logs.REGION.amazonaws.com encrypt and decrypt with it, where it is made",
        )
