"""An encrypted topic for alarms and budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

from cdk_inference.aws.tokens import are_known
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence


class AlertTopic(Construct):
    """A topic, encrypted with a key of its own, and the people who read it.

    AWS's own key for SNS would not do: its policy lets neither CloudWatch nor AWS Budgets use it,
    and their messages would be lost. Whoever sends to the topic is let by the construct that it is
    given to, such as :class:`InferenceMonitoring`.

    Costs $1 a month for the key (https://aws.amazon.com/kms/pricing/).

    Args:
        emails: who gets each message; everyone has to confirm it once. Default: nobody.

    Attributes:
        topic: what alarms and budgets are given.
        key: it is rotated each year.

    Raises:
        ConfigurationError: something in ``emails`` is no address.

    Example:
        >>> alerts = AlertTopic(stack, "Alerts", emails=["oncall@example.com"])
        >>> InferenceMonitoring(stack, "Monitoring", function=function, topic=alerts.topic)
    """

    topic: Final[sns.Topic]
    key: Final[kms.Key]

    def __init__(self, scope: Construct, id: str, *, emails: Sequence[str] = ()) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        check_emails(emails, problems)
        problems.raise_if_any()

        self.key = kms.Key(
            self,
            "Key",
            description="Encrypts alerts",
            enable_key_rotation=True,
            # Messages are delivered or gone: nothing is left to decrypt.
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.topic = sns.Topic(self, "Topic", master_key=self.key, enforce_ssl=True)
        for email in emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))


def check_emails(emails: Sequence[str], problems: Problems) -> None:
    """Record what is no mail address; tokens are left alone."""
    for email in emails:
        name, at, domain = email.partition("@")
        if not (name and at and "." in domain) and are_known(email):
            problems.add(
                f"{email!r} is in emails",
                allowed="those are mail addresses",
                remedy="give one such as 'oncall@example.com'",
            )
