"""What functions may cost a month, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_cdk import CfnOutput, Stack, Tags
from aws_cdk import aws_budgets as budgets

from cdk_inference.aws.alert_topic import check_emails
from cdk_inference.aws.publishing import let_publish
from cdk_inference.aws.tokens import are_known
from cdk_inference.limits import BUDGET_EMAILS, TAG_KEY_LENGTH, TAG_VALUE_LENGTH
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_sns as sns

    from constructs import IConstruct

# Which percentage of the limit is told of, and whether once it is spent or once it is foreseen.
_NOTIFICATIONS: Final = (("ACTUAL", 50), ("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))


@dataclass(frozen=True)
class CostTag:
    """A cost-allocation tag.

    Attributes:
        key: its name. It has to be activated once in the account that pays.
        value: its value.

    Example:
        >>> CostTag("project", "digits")
    """

    key: str
    value: str


class InferenceBudget(Construct):
    """A monthly budget for what bears a tag, which this construct puts on it.

    Mail or a message comes when 50, 80 and 100 % of the limit are spent, and when AWS foresees that
    100 % will be. It stops nothing, and comes hours late: AWS counts costs up to three times a day,
    and foresees only after five weeks or so
    (https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-best-practices.html).

    Costs nothing (https://aws.amazon.com/aws-cost-management/aws-budgets/pricing/).

    Args:
        monthly_limit: US dollars a month.
        of: what is tagged, with everything in it. Default: the stack that the budget is in.
        tag: Default: ``InferenceBudget`` with this construct's path as its value. AWS counts by a
            tag only from when it is activated in the account that pays: the output
            ``ActivateTagCommand`` does that, a day after the first deployment.
        emails: who gets mail, 10 at most.
        topic: where messages are sent; its policy, and its key's, let them. A topic of another app
            keeps its policies.

    Attributes:
        tag: as given, or chosen.

    Raises:
        ConfigurationError: nobody is told, a limit that is none, or a tag that AWS refuses.

    Example:
        >>> InferenceBudget(
        ...     stack, "Budget", monthly_limit=50, of=[function], emails=["team@example.com"]
        ... )
    """

    tag: Final[CostTag]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        monthly_limit: float,
        of: Sequence[IConstruct] | None = None,
        tag: CostTag | None = None,
        emails: Sequence[str] = (),
        topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.tag = tag or CostTag("InferenceBudget", self.node.path)

        problems = Problems(self.node.path)
        _check_limit(monthly_limit, problems)
        _check_tag(self.tag, problems)
        _check_subscribers(emails, topic, problems)
        problems.raise_if_any()

        for construct in [Stack.of(self)] if of is None else of:
            Tags.of(construct).add(self.tag.key, self.tag.value)
        budget = self._budget(monthly_limit, emails, topic)
        if topic is not None:
            source = Stack.of(self).format_arn(service="budgets", region="", resource="*")
            # A budget whose topic does not take its messages yet may be refused.
            let_publish(topic, "budgets.amazonaws.com", source=source).apply_before(budget)
        CfnOutput(
            self,
            "ActivateTagCommand",
            value="aws ce update-cost-allocation-tags-status --cost-allocation-tags-status"
            f" TagKey={self.tag.key},Status=Active",
            description="Run it once, in the account that pays, a day after the first deployment",
        )

    def _budget(
        self, monthly_limit: float, emails: Sequence[str], topic: sns.ITopic | None
    ) -> budgets.CfnBudget:
        subscribers = [
            budgets.CfnBudget.SubscriberProperty(address=email, subscription_type="EMAIL")
            for email in emails
        ]
        if topic is not None:
            subscribers.append(
                budgets.CfnBudget.SubscriberProperty(
                    address=topic.topic_arn, subscription_type="SNS"
                )
            )
        return budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=monthly_limit, unit="USD"),
                # https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-create-filters.html
                cost_filters={"TagKeyValue": [f"user:{self.tag.key}${self.tag.value}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=subscribers,
                )
                for kind, percent in _NOTIFICATIONS
            ],
        )


def _check_limit(monthly_limit: float, problems: Problems) -> None:
    if are_known(monthly_limit) and monthly_limit <= 0:
        problems.add(
            f"monthly_limit is {monthly_limit:g}",
            allowed="a budget has more than 0 US dollars",
            remedy="give what a month may cost",
        )


def _check_tag(tag: CostTag, problems: Problems) -> None:
    if not are_known(tag.key, tag.value):
        return
    problems.check_within("the length of the tag's key", len(tag.key), TAG_KEY_LENGTH)
    problems.check_within("the length of the tag's value", len(tag.value), TAG_VALUE_LENGTH)
    if tag.key.lower().startswith("aws:"):
        problems.add(
            f"the tag's key is {tag.key!r}",
            allowed="AWS keeps names that start with aws: to itself",
            remedy="choose another name",
        )


def _check_subscribers(emails: Sequence[str], topic: sns.ITopic | None, problems: Problems) -> None:
    check_emails(emails, problems)
    if not emails and topic is None:
        problems.add(
            "neither emails nor topic is given",
            allowed="a budget tells somebody",
            remedy="give one of them, such as the topic of an AlertTopic",
        )
    if len(emails) > BUDGET_EMAILS:
        problems.add(
            f"emails are {len(emails)}",
            allowed=f"AWS Budgets mails to {BUDGET_EMAILS} at most",
            remedy="subscribe them to a topic instead",
        )
