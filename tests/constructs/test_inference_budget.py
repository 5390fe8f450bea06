from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template
from cdk_inference import (
    AlertTopic,
    ConfigurationError,
    CostTag,
    InferenceBudget,
    InferenceModel,
    MLInferenceFunction,
)
from cdk_inference.testing import stable_template
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import (
    construct_ids,
    new_stack,
    only_logical_id,
    only_resource,
    synthesize,
)

NewBudget = Callable[..., InferenceBudget]

MAIL = {"emails": ["team@example.com"]}


@pytest.fixture
def new_budget(stack: Stack) -> NewBudget:
    def new(**options: Any) -> InferenceBudget:
        return InferenceBudget(stack, "Budget", **({"monthly_limit": 50} | options))

    return new


def test_maximal_template(stack: Stack, snapshot: SnapshotAssertion) -> None:
    InferenceBudget(
        stack,
        "Budget",
        monthly_limit=12.5,
        tag=CostTag("project", "digits"),
        topic=AlertTopic(stack, "Alerts").topic,
        **MAIL,
    )
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_each_threshold_is_told(new_budget: NewBudget, stack: Stack) -> None:
    new_budget(**MAIL)
    budget = only_resource(Template.from_stack(stack), "AWS::Budgets::Budget")
    told = [
        (
            notification["Notification"]["NotificationType"],
            notification["Notification"]["Threshold"],
            notification["Subscribers"],
        )
        for notification in budget["NotificationsWithSubscribers"]
    ]
    mail = [{"Address": "team@example.com", "SubscriptionType": "EMAIL"}]
    assert told == [
        ("ACTUAL", 50, mail),
        ("ACTUAL", 80, mail),
        ("ACTUAL", 100, mail),
        ("FORECASTED", 100, mail),
    ]
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 50, "Unit": "USD"}


def test_what_is_counted_is_what_is_tagged(stack: Stack, model: InferenceModel) -> None:
    counted = MLInferenceFunction(stack, "Counted", model=model)
    MLInferenceFunction(stack, "Free", model=model)
    InferenceBudget(stack, "Budget", monthly_limit=1, of=[counted], **MAIL)
    template = Template.from_stack(stack)
    budget = only_resource(template, "AWS::Budgets::Budget")["Budget"]
    assert budget["CostFilters"] == {"TagKeyValue": ["user:InferenceBudget$Stack/Budget"]}
    tag = {"Key": "InferenceBudget", "Value": "Stack/Budget"}
    tagged = {
        logical_id
        for logical_id, resource in template.to_json()["Resources"].items()
        if tag in resource.get("Properties", {}).get("Tags", [])
    }
    assert {logical_id.startswith("Counted") for logical_id in tagged} == {True}
    assert stack.get_logical_id(counted.function.node.default_child) in tagged  # type: ignore[arg-type]


def test_a_budget_of_the_whole_stack(new_budget: NewBudget, stack: Stack) -> None:
    sns.Topic(stack, "Tagged")
    new_budget(tag=CostTag("team", "vision"), **MAIL)
    topic = only_resource(Template.from_stack(stack), "AWS::SNS::Topic")
    assert topic["Tags"] == [{"Key": "team", "Value": "vision"}]


def test_a_topic_and_its_key_let_budgets_in(new_budget: NewBudget, stack: Stack) -> None:
    new_budget(topic=AlertTopic(stack, "Alerts").topic)
    template = Template.from_stack(stack)
    statements = [
        only_resource(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"][-1],
        only_resource(template, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"][-1],
    ]
    for statement in statements:
        assert statement["Principal"] == {"Service": "budgets.amazonaws.com"}
        assert statement["Condition"].keys() == {"StringEquals", "ArnLike"}


def test_the_topic_lets_budgets_in_before_there_is_one(new_budget: NewBudget, stack: Stack) -> None:
    new_budget(topic=AlertTopic(stack, "Alerts").topic)
    template = synthesize(stack)
    (budget,) = template.find_resources("AWS::Budgets::Budget").values()
    assert only_logical_id(template, "AWS::SNS::TopicPolicy") in budget["DependsOn"]


def test_a_topic_of_another_app_keeps_its_policy(new_budget: NewBudget, stack: Stack) -> None:
    arn = "arn:aws:sns:us-east-1:123456789012:theirs"
    new_budget(topic=sns.Topic.from_topic_arn(stack, "Theirs", arn))
    template = synthesize(stack)
    template.resource_count_is("AWS::SNS::TopicPolicy", 0)
    assert arn in json.dumps(template.find_resources("AWS::Budgets::Budget"))


def test_the_command_activates_the_tag(new_budget: NewBudget, stack: Stack) -> None:
    new_budget(tag=CostTag("project", "digits"), **MAIL)
    (output,) = Template.from_stack(stack).find_outputs("*").values()
    assert output["Value"].endswith("TagKey=project,Status=Active")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "neither emails nor topic is given; a budget tells somebody"),
        ({"monthly_limit": 0, **MAIL}, "monthly_limit is 0; a budget has more than 0"),
        ({"emails": ["team"]}, "'team' is in emails"),
        ({"emails": [f"{n}@example.com" for n in range(11)]}, "emails are 11; AWS Budgets mails"),
        ({"tag": CostTag("aws:team", "x"), **MAIL}, "the tag's key is 'aws:team'; AWS keeps"),
        ({"tag": CostTag("", "x"), **MAIL}, "the length of the tag's key is 0 characters"),
        ({"tag": CostTag("x", "y" * 257), **MAIL}, "the length of the tag's value is 257"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(
    new_budget: NewBudget, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        new_budget(**options)
    (found,) = caught.value.problems
    assert found.startswith(problem)


def test_construct_ids_are_public() -> None:
    budget = InferenceBudget(new_stack(), "Budget", monthly_limit=1, **MAIL)
    assert construct_ids(budget) == ["Budget", "ActivateTagCommand"]
