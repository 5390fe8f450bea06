from __future__ import annotations

from typing import Any

import pytest
from cdk_inference.gcp import MailChannels, ServiceBudget
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.gcp.terraform import construct_ids, only_resource, refusals, same_on_both

ACCOUNT = "012345-6789AB-CDEF01"
TOPIC = "projects/my-project/topics/costs"


def given(**options: Any) -> dict[str, Any]:
    return {"billing_account": ACCOUNT, "monthly_limit": 200, "topic": TOPIC, **options}


def make(stack: Any, **options: Any) -> ServiceBudget:
    return ServiceBudget(stack, "Budget", **given(**options))


def test_document(snapshot: SnapshotAssertion) -> None:
    def make_maximal(stack: Any) -> None:
        channels = MailChannels(stack, "OnCall", emails=["oncall@example.com"])
        make(stack, label=("team", "data"), channels=channels.names)

    assert same_on_both(make_maximal) == snapshot(extension_class=JSONSnapshotExtension)


def test_what_is_spent_and_what_is_foreseen_is_told(stack: Any) -> None:
    make(stack)
    rules = only_resource(stack, "google_billing_budget")["threshold_rules"]
    assert [(rule["spend_basis"], rule["threshold_percent"]) for rule in rules] == [
        ("CURRENT_SPEND", 0.5),
        ("CURRENT_SPEND", 0.8),
        ("CURRENT_SPEND", 1),
        ("FORECASTED_SPEND", 1),
    ]


def test_the_whole_project_counts_unless_a_label_is_named(stack: Any) -> None:
    make(stack)
    budget = only_resource(stack, "google_billing_budget")
    (project,) = budget["budget_filter"]["projects"]
    assert project.startswith("projects/${data.google_project.")
    assert "labels" not in budget["budget_filter"]
    assert budget["amount"] == {"specified_amount": {"units": "200"}}


def test_a_topic_alone_will_do(stack: Any) -> None:
    make(stack)
    told = only_resource(stack, "google_billing_budget")["all_updates_rule"]
    assert told["pubsub_topic"] == TOPIC
    assert told["monitoring_notification_channels"] == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"billing_account": "mine"}, "billing_account is 'mine'; it is three groups of six"),
        ({"monthly_limit": 0}, "monthly_limit is 0; it is a whole number"),
        ({"monthly_limit": 1.5}, "monthly_limit is 1.5"),
        ({"topic": None}, "there are neither channels nor a topic"),
        ({"topic": "costs"}, "topic is 'costs'; it is the full name of a topic"),
        ({"channels": [f"channel-{i}" for i in range(6)]}, "channels has 6; a budget has 5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(stack: Any, options: dict[str, Any], problem: str) -> None:
    (found,) = refusals(ServiceBudget, stack, **given(**options))
    assert found.startswith(problem)


def test_all_problems_come_at_once(stack: Any) -> None:
    assert len(refusals(ServiceBudget, stack, billing_account="", monthly_limit=0)) == 3


def test_construct_ids_are_public(stack: Any) -> None:
    assert construct_ids(make(stack)) == ["Project", "Budget"]
