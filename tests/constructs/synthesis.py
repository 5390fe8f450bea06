"""From a stack to a template that cfn-lint has nothing against."""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import aws_cdk as cdk
from aws_cdk.assertions import Template
from cfnlint.api import ManualArgs, lint

import stacks

ROOT = Path(__file__).parents[2]
RECOMMENDED_FLAGS: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]

# W3005: the CDK writes each of these DependsOn itself.
_IGNORED = ["W3005"]


def new_stack(context: dict[str, Any] | None = None) -> cdk.Stack:
    # Assets are hashed, but not copied: there are many stacks and each would copy onnxruntime.
    app = cdk.App(context={"aws:cdk:disable-asset-staging": True, **(context or {})})
    return cdk.Stack(app, "Stack")


def reference_stacks() -> list[type[cdk.Stack]]:
    """Every stack of the package ``stacks`` that is for AWS."""
    modules = [import_module(module.name) for module in iter_modules(stacks.__path__, "stacks.")]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and issubclass(value, cdk.Stack)
    ]


def synthesize(stack: cdk.Stack) -> Template:
    template = Template.from_stack(stack)
    check_with_cfn_lint(json.dumps(template.to_json(), sort_keys=True))
    return template


@cache
def check_with_cfn_lint(template: str) -> None:
    findings = lint(template, config=ManualArgs(regions=["us-east-1"], ignore_checks=_IGNORED))
    assert not findings, findings


def only_logical_id(template: Template, resource_type: str) -> str:
    (logical_id,) = template.find_resources(resource_type)
    return logical_id


def only_resource(template: Template, resource_type: str) -> dict[str, Any]:
    (resource,) = template.find_resources(resource_type).values()
    return dict(resource["Properties"])


def construct_ids(construct: cdk.Stack | Any) -> list[str]:
    return [child.node.id for child in construct.node.children]
