"""Log groups of APIs: with a retention, encrypted, and there after the stack."""

from __future__ import annotations

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs

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
            groups of this account. ``None``: CloudWatch's own key, which costs nothing.
        name: where a service has fixed it.
    """
    if encryption_key is not None:
        _let_logs_use(encryption_key, Stack.of(scope))
    return logs.LogGroup(
        scope,
        id,
        log_group_name=name,
        retention=retention,
        encryption_key=encryption_key,
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )


def _let_logs_use(key: kms.IKey, stack: Stack) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
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
    key.grant(
        service,
        "kms:Encrypt*",
        "kms:Decrypt*",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:Describe*",
    )
