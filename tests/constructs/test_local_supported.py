"""Leaving out of a template what the emulator does not know."""

import json
from typing import Any

import pytest
from cdk_inference.local.supported import Omission, without_unsupported
from hypothesis import given
from hypothesis import strategies as st

KNOWN = {"AWS::Lambda::Function", "AWS::Lambda::Alias", "AWS::IAM::Policy"}
UNKNOWN = "AWS::ApplicationAutoScaling::ScalableTarget"


def template(**resources: Any) -> dict[str, Any]:
    return {"Resources": resources}


def function(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Lambda::Function", "Properties": properties}


def test_a_template_of_known_types_stays_as_it_is() -> None:
    known = {
        **template(Function=function(Role="r"), Custom={"Type": "Custom::Anything"}),
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Function", "Arn"]}}},
        "Parameters": {"Version": {"Type": "String"}},
    }

    assert without_unsupported(known, KNOWN) == (known, [])


def test_an_unknown_type_goes_and_what_is_ordered_after_it_stays() -> None:
    kept, omissions = without_unsupported(
        template(
            Target={"Type": UNKNOWN, "Properties": {"ResourceId": {"Ref": "Function"}}},
            Function={**function(Role="r"), "DependsOn": ["Target", "Policy"]},
            Alias={"Type": "AWS::Lambda::Alias", "DependsOn": "Target"},
            Policy={"Type": "AWS::IAM::Policy"},
        ),
        KNOWN,
    )

    assert kept["Resources"] == {
        "Function": {**function(Role="r"), "DependsOn": ["Policy"]},
        "Alias": {"Type": "AWS::Lambda::Alias"},
        "Policy": {"Type": "AWS::IAM::Policy"},
    }
    assert omissions == [Omission("Target", UNKNOWN)]
    assert str(omissions[0]) == f"Target ({UNKNOWN}): unknown to the emulator"


@pytest.mark.parametrize(
    "reference",
    [
        {"Ref": "Target"},
        {"Fn::GetAtt": ["Target", "Arn"]},
        {"Fn::GetAtt": "Target.Arn"},
        {"Fn::Sub": "arn:${AWS::Partition}:${Target}"},
        {"Fn::Sub": "${Target.Arn}"},
        {"Fn::Sub": ["${name}", {"name": {"Ref": "Target"}}]},
        {"Fn::Join": ["", ["a", {"Ref": "Target"}]]},
    ],
)
def test_what_needs_an_omitted_resource_goes_too_and_says_so(reference: object) -> None:
    given_template = {
        **template(
            Target={"Type": UNKNOWN},
            Function=function(Environment={"Variables": {"TARGET": reference}}),
            Alias={"Type": "AWS::Lambda::Alias", "Properties": {"F": {"Ref": "Function"}}},
        ),
        "Outputs": {"Target": {"Value": reference}},
    }

    kept, omissions = without_unsupported(given_template, KNOWN)

    assert kept == {"Resources": {}, "Outputs": {}}
    assert omissions == [
        Omission("Target", UNKNOWN),
        Omission("Function", "AWS::Lambda::Function", needs="Target"),
        Omission("Alias", "AWS::Lambda::Alias", needs="Function"),
        Omission("Target", "Output", needs="Target"),
    ]
    assert str(omissions[1]) == "Function (AWS::Lambda::Function): needs Target"


def test_text_that_only_looks_like_a_reference_is_none() -> None:
    texts = function(
        Description="Target",
        Escaped={"Fn::Sub": "${!Target}"},
        Shadowed={"Fn::Sub": ["${Target}", {"Target": "a value"}]},
    )

    kept, omissions = without_unsupported(template(Target={"Type": UNKNOWN}, Function=texts), KNOWN)

    assert kept["Resources"] == {"Function": texts}
    assert omissions == [Omission("Target", UNKNOWN)]


def test_an_update_policy_goes_without_its_resource() -> None:
    alias = {
        "Type": "AWS::Lambda::Alias",
        "Properties": {"Name": "live"},
        "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": {"ApplicationName": {"Ref": "Target"}}},
    }

    kept, _ = without_unsupported(template(Target={"Type": UNKNOWN}, Alias=alias), KNOWN)

    assert kept["Resources"]["Alias"] == {
        "Type": "AWS::Lambda::Alias",
        "Properties": {"Name": "live"},
    }


def test_an_alarm_on_metric_math_goes_and_a_plain_one_stays() -> None:
    alarm = "AWS::CloudWatch::Alarm"
    plain = {"Type": alarm, "Properties": {"MetricName": "Errors"}}
    kept, omissions = without_unsupported(
        template(Plain=plain, Math={"Type": alarm, "Properties": {"Metrics": []}}), {alarm}
    )

    assert kept["Resources"] == {"Plain": plain}
    assert omissions == [Omission("Math", alarm)]


def test_the_serverless_transform_goes_with_what_takes_it() -> None:
    tuning = {"Type": "AWS::Serverless::Application", "Properties": {}}
    transformed = template(Tuning=tuning, Function=function())
    kept, omissions = without_unsupported(
        {**transformed, "Transform": "AWS::Serverless-2016-10-31"}, KNOWN
    )

    assert kept == {"Resources": {"Function": function()}, "Outputs": {}}
    assert omissions == [Omission("Tuning", "AWS::Serverless::Application")]


NAMES = [f"R{number}" for number in range(6)]
REFERENCES = st.sampled_from(NAMES).flatmap(
    lambda name: st.sampled_from(
        [{"Ref": name}, {"Fn::GetAtt": [name, "Arn"]}, {"Fn::Sub": f"${{{name}}}"}]
    )
)
RESOURCES = st.fixed_dictionaries(
    {"Type": st.sampled_from([*sorted(KNOWN), UNKNOWN])},
    optional={
        "Properties": st.dictionaries(st.sampled_from("ab"), REFERENCES | st.just("text")),
        "DependsOn": st.lists(st.sampled_from(NAMES)),
    },
)


@given(st.dictionaries(st.sampled_from(NAMES), RESOURCES))
def test_nothing_kept_mentions_anything_omitted(resources: dict[str, Any]) -> None:
    kept, omissions = without_unsupported(template(**resources), KNOWN)

    omitted = {omission.logical_id for omission in omissions}
    assert omitted | kept["Resources"].keys() == resources.keys()
    assert not omitted & kept["Resources"].keys()
    assert all(resource["Type"] in KNOWN for resource in kept["Resources"].values())
    assert not any(name in json.dumps(kept["Resources"]) for name in omitted)


@given(st.dictionaries(st.sampled_from(NAMES), RESOURCES))
def test_a_filtered_template_is_left_alone(resources: dict[str, Any]) -> None:
    kept, _ = without_unsupported(template(**resources), KNOWN)

    assert without_unsupported(kept, KNOWN) == (kept, [])
