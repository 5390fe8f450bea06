"""Services of AWS that publish to a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

if TYPE_CHECKING:
    from aws_cdk import aws_sns as sns


def let_publish(topic: sns.ITopic, service: str, *, source: str) -> iam.Grant:
    """Let a service publish to ``topic`` for this account, and use the topic's key for it.

    A topic that another app made keeps its policies.
    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services

    Args:
        topic: where to.
        service: the service's principal, such as ``cloudwatch.amazonaws.com``.
        source: the ARN of what may publish, wildcards allowed.
    """
    return topic.grant_publish(
        iam.ServicePrincipal(
            service,
            conditions={
                "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                "ArnLike": {"aws:SourceArn": source},
            },
        )
    )
