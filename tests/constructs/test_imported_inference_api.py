"""APIs of another app, found by their ids, and who may call them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template
from cdk_inference import (
    ConfigurationError,
    ImportedInferenceApi,
    ImportedMultiModelApi,
    InferenceHttpApi,
    InferenceModel,
    InferenceRestApi,
    MultiModelApi,
    MultiModelRestApi,
    ServedModel,
)

from tests.constructs.synthesis import construct_ids, new_stack, synthesize
from tests.constructs.test_inference_http_api import handler_in

SINGLE = pytest.mark.parametrize("kind", [InferenceHttpApi, InferenceRestApi])
SEVERAL = pytest.mark.parametrize("kind", [MultiModelApi, MultiModelRestApi])
EVERY = pytest.mark.parametrize(
    ("look_up", "stage"),
    [
        (InferenceHttpApi.from_api_id, "$default"),
        (InferenceRestApi.from_api_id, "prod"),
        (MultiModelApi.from_api_id, "$default"),
        (MultiModelRestApi.from_api_id, "prod"),
    ],
    ids=["http", "rest", "multi-http", "multi-rest"],
)
ID = "a1b2c3d4e5"
Known = ImportedInferenceApi | ImportedMultiModelApi
LookUp = Callable[..., Known]


def found(look_up: LookUp, stack: Stack, api_id: str = ID, **options: Any) -> Known:
    if "MultiModel" in look_up.__qualname__:
        options = {"model_names": ["scale"]} | options
    return look_up(stack, "Theirs", api_id, **options)


def there() -> Stack:
    """A stack whose region and account are known, so that ARNs are text."""
    return Stack(App(), "Stack", env=Environment(account="123456789012", region="eu-west-1"))


def allowed(api: Any, stack: Stack) -> list[str]:
    """The ARNs of what a caller may do."""
    api.grant_invoke(iam.User(stack, "Caller"))
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    (statements,) = (
        policy["Properties"]["PolicyDocument"]["Statement"]
        for name, policy in policies.items()
        if name.startswith("Caller")
    )
    assert {statement["Action"] for statement in statements} == {"execute-api:Invoke"}
    return [json.dumps(arn) for statement in statements for arn in _listed(statement["Resource"])]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def calls(arns: list[str]) -> set[str]:
    """Methods and paths, wherever the API is."""
    return {re.findall(r"/((?:GET|POST)/[^\"]+)\"", arn)[0] for arn in arns}


@SINGLE
@pytest.mark.parametrize("with_model", [False, True])
def test_a_caller_may_do_what_the_api_itself_grants(
    kind: Any, with_model: bool, model: InferenceModel
) -> None:
    served = model if with_model else None
    stack = new_stack()
    api = kind(stack, "Api", handler=handler_in(stack), path="/v1/x", model=served)
    made = calls(allowed(api, stack))
    stack = there()
    theirs = kind.from_api_id(
        stack, "Theirs", ID, path="/v1/x", model_name="scale" if with_model else None
    )
    assert calls(allowed(theirs, stack)) == made


@SEVERAL
def test_so_it_may_for_several_models(kind: Any, model: InferenceModel) -> None:
    models = {name: ServedModel(model) for name in ("scale", "other")}
    stack = new_stack()
    made = calls(allowed(kind(stack, "Api", models=models), stack))
    stack = there()
    theirs = kind.from_api_id(stack, "Theirs", ID, model_names=["scale", "other"])
    assert calls(allowed(theirs, stack)) == made


@EVERY
def test_grants_are_of_the_only_stage_where_the_api_is(look_up: LookUp, stage: str) -> None:
    stack = there()
    for arn in allowed(found(look_up, stack, region="us-east-2"), stack):
        prefix = f":execute-api:us-east-2:123456789012:{ID}/{stage}/"
        assert prefix in arn
        assert "*" not in arn


@EVERY
def test_its_url_is_api_gateways_or_its_own(look_up: LookUp, stage: str) -> None:
    path = "" if "MultiModel" in look_up.__qualname__ else "/predict"
    stack = there()
    url = stack.resolve(found(look_up, stack).url)
    root = "" if stage == "$default" else "/prod"
    assert url["Fn::Join"][1][0] == f"https://{ID}.execute-api.eu-west-1."
    assert "".join(url["Fn::Join"][1][2:]) == f"{root}{path}"
    named = found(look_up, there(), domain_name="models.example.org")
    assert named.url == f"https://models.example.org{path}"


@SEVERAL
def test_a_models_own_url(kind: Any) -> None:
    api = kind.from_api_id(
        there(), "Theirs", ID, model_names=["scale"], domain_name="m.example.org"
    )
    assert api.predict_url("scale") == "https://m.example.org/models/scale/predict"


@EVERY
def test_nothing_is_made(look_up: LookUp, stage: str, stack: Stack) -> None:
    assert construct_ids(found(look_up, stack)) == []
    assert "Resources" not in Template.from_stack(stack).to_json()


@EVERY
def test_an_id_of_the_deployment(look_up: LookUp, stage: str, stack: Stack) -> None:
    api = found(look_up, stack, CfnParameter(stack, "Id").value_as_string)
    assert {"Ref": "Id"} in stack.resolve(api.url)["Fn::Join"][1]
    api.grant_invoke(iam.User(stack, "Caller"))
    synthesize(stack)


@pytest.mark.parametrize(
    ("look_up", "api_id", "options", "problem"),
    [
        (InferenceHttpApi.from_api_id, f"https://{ID}.example.org", {}, "api_id is 'https://"),
        (InferenceRestApi.from_api_id, "", {}, "api_id is ''"),
        (InferenceRestApi.from_api_id, ID, {"path": "predict"}, "path is 'predict'"),
        (InferenceHttpApi.from_api_id, ID, {"model_name": "a b"}, "a model is called 'a b'"),
        (MultiModelApi.from_api_id, ID, {"model_names": []}, "model_names is empty"),
        (MultiModelRestApi.from_api_id, ID, {"model_names": ["/"]}, "a model is called '/'"),
    ],
)
def test_what_cannot_be_one_is_refused(
    stack: Stack, look_up: LookUp, api_id: str, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        found(look_up, stack, api_id, **options)
    (only,) = caught.value.problems
    assert only.startswith(problem)
