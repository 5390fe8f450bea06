"""What a project may cost a month, and who hears of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import GOOGLE_BUDGET_CHANNELS
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from cdk_inference.gcp.bindings import Bindings

# Which share of the limit is told of, and whether once it is spent or once it is foreseen.
_THRESHOLDS: Final = (
    ("CURRENT_SPEND", 0.5),
    ("CURRENT_SPEND", 0.8),
    ("CURRENT_SPEND", 1.0),
    ("FORECASTED_SPEND", 1.0),
)
_ACCOUNT: Final = re.compile(r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}")
_TOPIC: Final = re.compile(r"projects/[^/]+/topics/[^/]+")


class ServiceBudget(Construct):
    """A monthly budget for the project, or for what bears a label in it.

    Mail or a message comes when 50, 80 and 100 % of the limit are spent, and when Google foresees
    that 100 % will be. Whoever administers the billing account gets mail as well. It stops nothing,
    and comes hours late, as costs are told: https://cloud.google.com/billing/docs/how-to/budgets

    Costs nothing. Whoever deploys it needs ``roles/billing.costsManager`` on the billing account.

    Args:
        billing_account: that pays for the project, as in ``012345-6789AB-CDEF01``.
        monthly_limit: in whole units of the billing account's currency.
        label: name and value of a label that services and jobs of this library were given with
            ``labels``; only what bears it counts. Default: the whole project.
        channels: notification channels of mail by their names, five at most, such as those of
            :class:`MailChannels`.
        topic: a topic of Pub/Sub that gets each message, and the state several times a day, as
            ``projects/PROJECT/topics/TOPIC``. Google lets itself publish there when the budget is
            made, for which whoever deploys it must be allowed to set the topic's policy.

    Attributes:
        budget: the ``google_billing_budget``.

    Raises:
        ConfigurationError: nobody is told, a limit that is none, or a name that cannot be one.

    Example:
        >>> ServiceBudget(
        ...     stack, "Budget", billing_account="012345-6789AB-CDEF01", monthly_limit=200,
        ...     channels=oncall.names,
        ... )
    """

    budget: Final[Any]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        billing_account: str,
        monthly_limit: int,
        label: tuple[str, str] | None = None,
        channels: Sequence[str] = (),
        topic: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        bindings = bindings_of(self)
        problems = Problems(self.node.path)
        _check_account(billing_account, bindings, problems)
        _check_limit(monthly_limit, bindings, problems)
        _check_told(channels, topic, bindings, problems)
        problems.raise_if_any()

        project = bindings.google("data_google_project").DataGoogleProject(self, "Project")
        budgets = bindings.google("billing_budget")
        self.budget = budgets.BillingBudget(
            self,
            "Budget",
            billing_account=billing_account,
            display_name=self.node.path[:60],
            budget_filter=budgets.BillingBudgetBudgetFilter(
                projects=[f"projects/{project.number}"],
                labels=None if label is None else dict([label]),
                calendar_period="MONTH",
            ),
            amount=budgets.BillingBudgetAmount(
                specified_amount=budgets.BillingBudgetAmountSpecifiedAmount(
                    units=str(monthly_limit)
                )
            ),
            threshold_rules=_threshold_rules(budgets),
            all_updates_rule=budgets.BillingBudgetAllUpdatesRule(
                monitoring_notification_channels=list(channels),
                pubsub_topic=topic,
                schema_version="1.0",
            ),
        )


def _threshold_rules(budgets: ModuleType) -> list[Any]:
    return [
        budgets.BillingBudgetThresholdRules(threshold_percent=share, spend_basis=basis)
        for basis, share in _THRESHOLDS
    ]


def _check_account(account: str, bindings: Bindings, problems: Problems) -> None:
    if are_known(bindings, account) and not _ACCOUNT.fullmatch(account):
        problems.add(
            f"billing_account is {account!r}",
            allowed="it is three groups of six hexadecimal digits",
            remedy="write it as `gcloud billing accounts list` does: '012345-6789AB-CDEF01'",
        )


def _check_limit(limit: int, bindings: Bindings, problems: Problems) -> None:
    if are_known(bindings, limit) and (limit < 1 or limit != int(limit)):
        problems.add(
            f"monthly_limit is {limit:g}",
            allowed="it is a whole number of the account's currency, from 1",
            remedy="round it up",
        )


def _check_told(
    channels: Sequence[str], topic: str | None, bindings: Bindings, problems: Problems
) -> None:
    if not channels and topic is None:
        problems.add(
            "there are neither channels nor a topic",
            allowed="a budget that nobody hears of does nothing",
            remedy="give channels=MailChannels(…).names, or a topic",
        )
    if len(channels) > GOOGLE_BUDGET_CHANNELS:
        problems.add(
            f"channels has {len(channels)}",
            allowed=f"a budget has {GOOGLE_BUDGET_CHANNELS} at most",
            remedy="send to a group's address",
        )
    if topic is not None and are_known(bindings, topic) and not _TOPIC.fullmatch(topic):
        problems.add(
            f"topic is {topic!r}",
            allowed="it is the full name of a topic",
            remedy="write it as in 'projects/my-project/topics/costs'",
        )
