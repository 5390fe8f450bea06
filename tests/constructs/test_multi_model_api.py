"""Both APIs in front of several models."""

from __future__ import annotations

import json
import re
from inspect import signature
from typing import Any

import pytest
import schemathesis
from aws_cdk import Size, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Match, Template
from cdk_inference import (
    ApiAuth,
    ConfigurationError,
    InferenceModel,
    MLInferenceFunction,
    MultiModelApi,
    MultiModelRestApi,
    Packaging,
    ServedModel,
    Tracing,
    WarmStrategy,
)
from cdk_inference.testing import stable_template
from jsonschema import Draft4Validator
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import construct_ids, new_stack, synthesize
from tests.constructs.test_inference_http_api import routes
from tests.constructs.test_inference_rest_api import PLAN, methods

PATHS = {
    "POST /models/{}/predict",
    "POST /v2/models/{}/infer",
    "GET /v2/models/{}",
    "GET /v2/models/{}/ready",
}
BOTH = pytest.mark.parametrize("kind", [MultiModelApi, MultiModelRestApi])
Api = MultiModelApi | MultiModelRestApi


@pytest.fixture(scope="session")
def models(
    model: InferenceModel, digits_under_the_same_name: InferenceModel
) -> dict[str, ServedModel]:
    return {
        "scale": ServedModel(model, memory_size=Size.mebibytes(512)),
        "digits": ServedModel(
            digits_under_the_same_name, warm_strategy=WarmStrategy.provisioned(min=1, max=2)
        ),
    }


def stack_with(kind: type[Api], models: dict[str, ServedModel], **options: Any) -> Stack:
    stack = new_stack()
    kind(stack, "Models", models=models, **options)
    return stack


@pytest.fixture(scope="module")
def http(models: dict[str, ServedModel]) -> Stack:
    return stack_with(MultiModelApi, models)


@pytest.fixture(scope="module")
def rest(models: dict[str, ServedModel]) -> Stack:
    return stack_with(MultiModelRestApi, models)


def made(stack: Stack) -> Any:
    return stack.node.find_child("Models")


def test_http_template(http: Stack, snapshot: SnapshotAssertion) -> None:
    synthesize(http)
    assert stable_template(http) == snapshot(extension_class=JSONSnapshotExtension)


def test_rest_template(rest: Stack) -> None:
    synthesize(rest)


def test_each_model_has_its_paths(http: Stack, rest: Stack) -> None:
    expected = {path.format(name): "AWS_IAM" for path in PATHS for name in ("scale", "digits")}
    assert routes(Template.from_stack(http)) == expected
    found = methods(Template.from_stack(rest))
    assert {name: method["AuthorizationType"] for name, method in found.items()} == expected


@pytest.mark.parametrize("fixture", ["http", "rest"])
def test_each_model_has_a_function_of_its_own(fixture: str, request: pytest.FixtureRequest) -> None:
    template = Template.from_stack(request.getfixturevalue(fixture))
    functions = template.find_resources("AWS::Lambda::Function").values()
    described = {
        properties["Environment"]["Variables"]["MODEL_NAME"]: properties["MemorySize"]
        for properties in (function["Properties"] for function in functions)
    }
    assert described == {"scale": 512, "digits": 1769}
    aliases = template.find_resources("AWS::Lambda::Alias").values()
    assert sum("ProvisionedConcurrencyConfig" in a["Properties"] for a in aliases) == 1


def test_a_request_goes_to_the_function_of_its_model(http: Stack, rest: Stack) -> None:
    template = Template.from_stack(http)
    integrations = template.find_resources("AWS::ApiGatewayV2::Integration")
    for route in template.find_resources("AWS::ApiGatewayV2::Route").values():
        name = route["Properties"]["RouteKey"].split("/models/")[1].split("/")[0]
        integration = integrations[route["Properties"]["Target"]["Fn::Join"][1][1]["Ref"]]
        assert name in integration["Properties"]["IntegrationUri"]["Ref"]
    for path, method in methods(Template.from_stack(rest)).items():
        name = path.split("/models/")[1].split("/")[0]
        assert f"Models{name}Live" in json.dumps(method["Integration"]["Uri"])


def test_each_request_is_checked_against_its_own_model(rest: Stack) -> None:
    template = Template.from_stack(rest)
    schemas = template.find_resources("AWS::ApiGateway::Model")

    def takes(name: str, body: Any) -> bool:
        method = methods(template)[f"POST /models/{name}/predict"]
        schema = schemas[method["RequestModels"]["application/json"]["Ref"]]
        return bool(Draft4Validator(schema["Properties"]["Schema"]).is_valid(body))

    assert takes("digits", {"features": [0] * 64})
    assert not takes("scale", {"features": [0] * 64})


@pytest.mark.parametrize("fixture", ["http", "rest"])
def test_the_openapi_document_has_all_of_them(fixture: str, request: pytest.FixtureRequest) -> None:
    document = json.loads(json.dumps(made(request.getfixturevalue(fixture)).openapi))
    schemathesis.openapi.from_dict(document).validate()
    assert len(document["paths"]) == 8


def test_a_models_own_url(http: Stack) -> None:
    api = made(http)
    assert api.predict_url("digits") == f"{api.url}/models/digits/predict"


@BOTH
def test_grants_are_of_all_paths(kind: type[Api], models: dict[str, ServedModel]) -> None:
    stack = stack_with(kind, models)
    caller = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    made(stack).grant_invoke(caller)
    template = Template.from_stack(stack)
    (policy,) = (
        resource["Properties"]["PolicyDocument"]["Statement"]
        for name, resource in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("Caller")
    )
    allowed = json.dumps(policy)
    for name in models:
        for path in PATHS:
            assert f'/{path.format(name).replace(" ", "")}"' in allowed


@BOTH
def test_public_when_asked_by_name(kind: type[Api], models: dict[str, ServedModel]) -> None:
    stack = stack_with(kind, models, auth=ApiAuth.public())
    with pytest.raises(ConfigurationError, match=r"ApiAuth\.iam"):
        made(stack).grant_invoke(iam.AccountRootPrincipal())


def test_browsers_and_keys(models: dict[str, ServedModel]) -> None:
    stack = stack_with(
        MultiModelRestApi, models, cors_origins=["https://a.org"], usage_plans=[PLAN]
    )
    template = Template.from_stack(stack)
    for function in template.find_resources("AWS::Lambda::Function").values():
        variables = function["Properties"]["Environment"]["Variables"]
        assert variables["INFERENCE_CORS_ORIGINS"] == "https://a.org"
    assert list(made(stack).api_keys) == ["Acme", "Umbrella"]


def test_each_takes_what_a_function_of_its_own_takes() -> None:
    _, _, _, *expected = signature(MLInferenceFunction.__init__).parameters.values()
    taken = signature(ServedModel).parameters.values()
    assert [(p.name, p.default, p.annotation) for p in taken] == [
        (p.name, p.default, p.annotation) for p in expected
    ]


def test_what_it_is_given_arrives(stack: Stack, model: InferenceModel) -> None:
    served = ServedModel(
        model,
        python_version="3.12",
        packaging=Packaging.ZIP,
        log_retention=logs.RetentionDays.ONE_WEEK,
        tracing=Tracing.OFF,
    )
    MultiModelApi(stack, "Models", models={"scale": served})
    template = synthesize(stack)
    template.has_resource_properties("AWS::Logs::LogGroup", {"RetentionInDays": 7})
    template.has_resource_properties(
        "AWS::Lambda::Function", {"TracingConfig": Match.absent(), "Runtime": "python3.12"}
    )


@BOTH
@pytest.mark.parametrize(
    ("names", "problem"),
    [((), "models is empty"), (("a b",), "a model is called 'a b'"), (("",), "a model is called")],
)
def test_what_cannot_work_is_refused(
    kind: type[Api],
    names: tuple[str, ...],
    problem: str,
    stack: Stack,
    models: dict[str, ServedModel],
) -> None:
    with pytest.raises(ConfigurationError, match=f"^Stack/Models: {re.escape(problem)}"):
        kind(stack, "Models", models=dict.fromkeys(names, models["scale"]))
    assert construct_ids(stack.node.find_child("Models")) == []


def test_an_http_api_has_no_web_acl(stack: Stack, models: dict[str, ServedModel]) -> None:
    with pytest.raises(ConfigurationError, match="AWS WAF protects REST APIs"):
        MultiModelApi(stack, "Models", models=models, web_acl_arn="arn:aws:wafv2:…")


def test_construct_ids_are_public(http: Stack) -> None:
    assert construct_ids(made(http)) == [
        "Models",
        "AccessLogs",
        "Api",
        "Stage",
        *(
            f"{name}-{route}Route"
            for name in ("scale", "digits")
            for route in ("Predict", "Infer", "Metadata", "Ready")
        ),
        "Url",
    ]
    assert construct_ids(made(http).node.find_child("Models")) == ["scale", "digits"]
