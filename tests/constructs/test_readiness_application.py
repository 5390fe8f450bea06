"""Which resource mentions which, in templates however they were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cdk_inference.aws.readiness.application import Application

NESTED = "0" * 64


def write(folder: Path, name: str, **document: Any) -> Path:
    path = folder / f"{name}.template.json"
    path.write_text(json.dumps(document))
    return path


def resource(type: str = "Custom::Any", **properties: Any) -> dict[str, Any]:
    return {"Type": type, "Properties": properties}


def mentioned(app: Application, type: str = "Custom::User") -> set[str]:
    """The logical ids of what the one resource of ``type`` refers to with its property Value."""
    (user,) = app.of_type(type)
    return {found.logical_id for found in app.mentioned(user, "Value")}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "Used"}, {"Used"}),
        ({"Fn::GetAtt": ["Used", "Arn"]}, {"Used"}),
        ({"Fn::GetAtt": "Used.Arn"}, {"Used"}),
        ({"Fn::Sub": "arn:${AWS::Partition}:${Used}:x"}, {"Used"}),
        ({"Fn::Sub": "${Used.Arn}/*"}, {"Used"}),
        ({"Fn::Sub": ["${Mine}", {"Mine": {"Ref": "Used"}}]}, {"Used"}),
        ({"Fn::Join": ["", ["a", {"Ref": "Used"}, {"Ref": "Other"}]]}, {"Used", "Other"}),
        ([{"Deep": {"Ref": "Used"}}], {"Used"}),
        ({"Fn::Sub": "${!Used}"}, set()),
        ({"Ref": "AWS::Region"}, set()),
        ("Used", set()),
        (None, set()),
    ],
)
def test_every_way_to_refer_is_followed(tmp_path: Path, value: Any, expected: set[str]) -> None:
    resources = {
        "Used": resource(),
        "Other": resource(),
        "User": resource("Custom::User", Value=value),
    }
    assert mentioned(Application([write(tmp_path, "One", Resources=resources)])) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"Fn::ImportValue": "exported"},
        {"Fn::GetStackOutput": {"StackName": "Made", "OutputName": "Out"}},
    ],
)
def test_what_another_stack_puts_out_is_followed(tmp_path: Path, value: Any) -> None:
    output = {"Value": {"Ref": "Used"}, "Export": {"Name": "exported"}}
    made = write(tmp_path, "Made", Resources={"Used": resource()}, Outputs={"Out": output})
    # Of another stack with an output of the same name.
    like = write(
        tmp_path,
        "Like",
        Resources={"Wrong": resource()},
        Outputs={"Out": {"Value": {"Ref": "Wrong"}}},
    )
    using = write(tmp_path, "Using", Resources={"User": resource("Custom::User", Value=value)})
    assert mentioned(Application([like, made, using])) == {"Used"}


def test_a_nested_stack_is_followed_in_and_out(tmp_path: Path) -> None:
    inner = {
        "Resources": {
            "Inside": resource(),
            "InsideUser": resource("Custom::InsideUser", Value={"Ref": "Given"}),
        },
        "Outputs": {"Out": {"Value": {"Ref": "Inside"}}},
    }
    (tmp_path / "Inner.nested.template.json").write_text(json.dumps(inner))
    assets = {"files": {NESTED: {"source": {"path": "Inner.nested.template.json"}}}}
    (tmp_path / "Outer.assets.json").write_text(json.dumps(assets))
    stack = resource(
        "AWS::CloudFormation::Stack",
        TemplateURL={"Fn::Sub": f"https://bucket/{NESTED}.json"},
        Parameters={"Given": {"Ref": "Outside"}},
    )
    outer = write(
        tmp_path,
        "Outer",
        Resources={
            "Outside": resource(),
            "Inner": stack,
            "User": resource("Custom::User", Value={"Fn::GetAtt": ["Inner", "Outputs.Out"]}),
        },
    )
    app = Application([outer])
    assert mentioned(app) == {"Inside"}
    assert mentioned(app, "Custom::InsideUser") == {"Outside"}


def test_an_alias_and_a_version_stand_for_their_function(tmp_path: Path) -> None:
    resources = {
        "Function": resource("AWS::Lambda::Function"),
        "Version": resource("AWS::Lambda::Version", FunctionName={"Ref": "Function"}),
        "Alias": resource("AWS::Lambda::Alias", FunctionName={"Fn::GetAtt": "Function.Arn"}),
        "OfAlias": resource(Value={"Ref": "Alias"}),
        "OfVersion": resource(Value={"Ref": "Version"}),
        "OfNothing": resource(Value="Function"),
    }
    app = Application([write(tmp_path, "One", Resources=resources)])
    (function,) = app.of_type("AWS::Lambda::Function")
    assert [user.logical_id for user in app.users(function, "Custom::Any")] == [
        "OfAlias",
        "OfVersion",
    ]
