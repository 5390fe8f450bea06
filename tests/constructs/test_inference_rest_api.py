from __future__ import annotations

import json
import re
from typing import Any

import pytest
import schemathesis
from aws_cdk import Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk.assertions import Annotations, Match, Template
from cdk_inference import (
    ApiAuth,
    ApiDomain,
    ConfigurationError,
    InferenceModel,
    InferenceRestApi,
    MLInferenceFunction,
    UsagePlan,
)
from cdk_inference.testing import stable_template
from jsonschema import Draft4Validator
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import (
    RECOMMENDED_FLAGS,
    construct_ids,
    new_stack,
    only_resource,
    synthesize,
)
from tests.constructs.test_inference_http_api import handler_in

PLAN = UsagePlan("Partners", rate_limit=5, burst_limit=9, quota=1000, keys=["Acme", "Umbrella"])
WEB_ACL = "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/models/1"


def new_api(stack: Stack, **options: Any) -> InferenceRestApi:
    return InferenceRestApi(stack, "Api", handler=handler_in(stack), **options)


def domain_in(stack: Stack) -> ApiDomain:
    certificate = acm.Certificate.from_certificate_arn(
        stack, "Certificate", "arn:aws:acm:us-east-1:123456789012:certificate/1"
    )
    zone = route53.HostedZone.from_hosted_zone_attributes(
        stack, "Zone", hosted_zone_id="Z1", zone_name="example.org"
    )
    return ApiDomain("models.example.org", certificate, zone)


def methods(template: Template) -> dict[str, dict[str, Any]]:
    """Each method by its name and path, preflight ones apart."""
    resources = template.find_resources("AWS::ApiGateway::Resource")

    def path(logical_id: str) -> str:
        properties = resources[logical_id]["Properties"]
        parent = properties["ParentId"].get("Ref")
        return f"{path(parent) if parent else ''}/{properties['PathPart']}"

    found = template.find_resources("AWS::ApiGateway::Method").values()
    return {
        f"{method['HttpMethod']} {path(method['ResourceId']['Ref'])}": method
        for method in (resource["Properties"] for resource in found)
        if method["HttpMethod"] != "OPTIONS"
    }


@pytest.fixture(scope="module")
def template(model: InferenceModel) -> Template:
    """Of an API with no option but its model."""
    stack = new_stack()
    new_api(stack, model=model)
    return Template.from_stack(stack)


def test_minimal_template(stack: Stack, snapshot: SnapshotAssertion) -> None:
    new_api(stack)
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    api = new_api(
        stack,
        path="/v1/scale",
        model=model,
        auth=ApiAuth.iam(),
        cors_origins=["https://example.org"],
        throttle=apigateway.ThrottleSettings(rate_limit=5, burst_limit=10),
        usage_plans=[PLAN],
        domain=domain_in(stack),
        web_acl_arn=WEB_ACL,
        timeout=Duration.seconds(10),
        log_retention=logs.RetentionDays.ONE_YEAR,
        log_encryption_key=kms.Key(stack, "Key"),
        account_logging=False,
    )
    api.grant_invoke(
        iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    )
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_nothing_is_public_unasked(template: Template) -> None:
    found = methods(template)
    assert {name: method["AuthorizationType"] for name, method in found.items()} == {
        "POST /predict": "AWS_IAM",
        "GET /health": "AWS_IAM",
        "POST /v2/models/scale/infer": "AWS_IAM",
        "GET /v2/models/scale": "AWS_IAM",
        "GET /v2/models/scale/ready": "AWS_IAM",
    }


def test_public_when_asked_by_name(stack: Stack) -> None:
    new_api(stack, auth=ApiAuth.public())
    found = methods(Template.from_stack(stack))
    assert {method["AuthorizationType"] for method in found.values()} == {"NONE"}


def test_requests_are_checked_against_the_models_signature(
    template: Template, model: InferenceModel
) -> None:
    predict = methods(template)["POST /predict"]
    assert "RequestValidatorId" in predict
    models = template.find_resources("AWS::ApiGateway::Model")
    schema = models[predict["RequestModels"]["application/json"]["Ref"]]["Properties"]["Schema"]
    (spec,) = model.inputs
    assert spec.shape is not None
    assert Draft4Validator(schema).is_valid({"features": [1.0] * (spec.shape[-1] or 1)})
    assert not Draft4Validator(schema).is_valid({"features": ["a"]})
    validator = only_resource(template, "AWS::ApiGateway::RequestValidator")
    assert validator["ValidateRequestBody"] is True
    refusal = only_resource(template, "AWS::ApiGateway::GatewayResponse")
    assert refusal["ResponseType"] == "BAD_REQUEST_BODY"
    error = json.loads(refusal["ResponseTemplates"]["application/json"])["error"]
    assert error["code"] == "INVALID_INPUT"


def test_another_schema_is_another_deployment(
    model: InferenceModel, digits_under_the_same_name: InferenceModel
) -> None:
    def deployment(served: InferenceModel) -> str:
        stack = new_stack()
        new_api(stack, model=served)
        (logical_id,) = Template.from_stack(stack).find_resources("AWS::ApiGateway::Deployment")
        return str(logical_id)

    assert deployment(model) != deployment(digits_under_the_same_name)


def test_code_of_the_users_reads_anything(stack: Stack, model: InferenceModel) -> None:
    function = MLInferenceFunction(
        stack, "Scale", model=model, environment={"INFERENCE_PIPELINE": "mine:Pipeline"}
    )
    function.add_rest_api()
    found = methods(Template.from_stack(stack))
    assert "RequestModels" not in found["POST /predict"]
    assert "RequestModels" in found["POST /v2/models/scale/infer"]


def test_raw_tensors_are_passed_on(template: Template) -> None:
    api = only_resource(template, "AWS::ApiGateway::RestApi")
    assert api["BinaryMediaTypes"] == ["application/octet-stream"]


def test_it_is_throttled_logged_and_traced(template: Template) -> None:
    stage = only_resource(template, "AWS::ApiGateway::Stage")
    (settings,) = stage["MethodSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (100, 200)
    assert (settings["LoggingLevel"], settings["DataTraceEnabled"]) == ("ERROR", False)
    assert stage["TracingEnabled"] is True
    assert json.loads(stage["AccessLogSetting"]["Format"])["requestId"] == "$context.requestId"
    groups = template.find_resources("AWS::Logs::LogGroup").values()
    assert [group["Properties"]["RetentionInDays"] for group in groups] == [30, 30]


def test_logs_are_encrypted_with_a_key(stack: Stack) -> None:
    new_api(stack, log_encryption_key=kms.Key(stack, "Key"))
    template = Template.from_stack(stack)
    groups = template.find_resources("AWS::Logs::LogGroup").values()
    assert all("KmsKeyId" in group["Properties"] for group in groups)
    key = only_resource(template, "AWS::KMS::Key")
    statement = key["KeyPolicy"]["Statement"][1]
    assert "logs." in json.dumps(statement["Principal"])
    assert "kms:EncryptionContext:aws:logs:arn" in statement["Condition"]["ArnLike"]


def test_with_a_usage_plan_each_request_needs_a_key(stack: Stack) -> None:
    api = new_api(stack, usage_plans=[PLAN])
    template = Template.from_stack(stack)
    assert {method["ApiKeyRequired"] for method in methods(template).values()} == {True}
    plan = only_resource(template, "AWS::ApiGateway::UsagePlan")
    assert plan["Throttle"] == {"RateLimit": 5, "BurstLimit": 9}
    assert plan["Quota"] == {"Limit": 1000, "Period": "MONTH"}
    template.resource_count_is("AWS::ApiGateway::UsagePlanKey", 2)
    assert (list(api.usage_plans), list(api.api_keys)) == (["Partners"], ["Acme", "Umbrella"])


def test_a_web_acl_is_of_the_stage(stack: Stack) -> None:
    new_api(stack, web_acl_arn=WEB_ACL)
    association = only_resource(Template.from_stack(stack), "AWS::WAFv2::WebACLAssociation")
    assert association["WebACLArn"] == WEB_ACL
    assert "/stages/" in json.dumps(association["ResourceArn"])


def test_with_a_domain_the_api_has_no_other_name(stack: Stack) -> None:
    api = new_api(stack, domain=domain_in(stack))
    template = Template.from_stack(stack)
    assert only_resource(template, "AWS::ApiGateway::RestApi")["DisableExecuteApiEndpoint"] is True
    domain = only_resource(template, "AWS::ApiGateway::DomainName")
    assert (domain["DomainName"], domain["SecurityPolicy"]) == ("models.example.org", "TLS_1_2")
    records = template.find_resources("AWS::Route53::RecordSet").values()
    assert {record["Properties"]["Type"] for record in records} == {"A", "AAAA"}
    assert api.url == "https://models.example.org/predict"
    assert api.openapi["servers"] == [{"url": "https://models.example.org"}]


def test_browsers_of_an_origin_may_call(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(stack, "Scale", model=model).add_rest_api(
        cors_origins=["https://a.org", "https://b.org"]
    )
    template = Template.from_stack(stack)
    preflight = {"HttpMethod": "OPTIONS", "AuthorizationType": "NONE"}
    template.resource_properties_count_is("AWS::ApiGateway::Method", preflight, 2)
    variables = only_resource(template, "AWS::Lambda::Function")["Environment"]["Variables"]
    assert variables["INFERENCE_CORS_ORIGINS"] == "https://a.org,https://b.org"


@pytest.mark.parametrize("origins", [[], ["https://a.org", "https://b.org"]])
def test_their_pages_learn_why_they_were_refused(stack: Stack, origins: list[str]) -> None:
    new_api(stack, cors_origins=origins)
    responses = Template.from_stack(stack).find_resources("AWS::ApiGateway::GatewayResponse")
    readable = {
        response["Properties"]["ResponseType"]
        for response in responses.values()
        if response["Properties"].get("ResponseParameters")
        == {"gatewayresponse.header.Access-Control-Allow-Origin": "'*'"}
    }
    all_of_them = {"BAD_REQUEST_BODY", "DEFAULT_4XX", "DEFAULT_5XX"}
    assert readable == (all_of_them if origins else set())


def test_the_openapi_document_is_valid(stack: Stack, model: InferenceModel) -> None:
    api = new_api(stack, model=model, usage_plans=[PLAN])
    document = json.loads(json.dumps(api.openapi))
    schemathesis.openapi.from_dict(document).validate()
    assert set(document["paths"]) == {
        "/predict",
        "/health",
        "/v2/models/scale/infer",
        "/v2/models/scale",
        "/v2/models/scale/ready",
    }
    infer = document["paths"]["/v2/models/scale/infer"]["post"]["requestBody"]["content"]
    assert infer.keys() == {"application/json", "application/octet-stream"}
    assert document["security"] == [{"auth": [], "apiKey": []}]


def test_grants_are_for_callers_that_sign(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match=r"ApiAuth\.iam"):
        new_api(stack, auth=ApiAuth.public()).grant_invoke(iam.AccountRootPrincipal())


def test_a_function_that_outlasts_the_api_is_warned_of(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(stack, "Default", model=model).add_rest_api()
    annotations = Annotations.from_stack(stack)
    annotations.has_no_warning("*", Match.string_like_regexp("timeout"))
    MLInferenceFunction(stack, "Long", model=model, timeout=Duration.minutes(5)).add_rest_api()
    Annotations.from_stack(stack).has_warning(
        "/Stack/Long/RestApi",
        Match.string_like_regexp("timeout is 300 seconds; the API waits 29"),
    )


def test_an_api_that_waits_longer_is_not_warned_of(stack: Stack, model: InferenceModel) -> None:
    function = MLInferenceFunction(stack, "Long", model=model, timeout=Duration.minutes(1))
    function.add_rest_api(timeout=Duration.minutes(1))
    Annotations.from_stack(stack).has_no_warning("*", Match.string_like_regexp("timeout"))


def test_both_apis_of_a_function_have_the_same_path(stack: Stack, model: InferenceModel) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model)
    function.add_http_api("/scale")
    with pytest.raises(ConfigurationError, match="answers at '/scale' for its other API"):
        function.add_rest_api("/other")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"path": "predict"}, "path is 'predict'"),
        ({"path": "/~me"}, "path is '/~me'; a REST API takes no '~'"),
        (
            {"auth": ApiAuth.jwt("https://issuer.org", audience=["a"])},
            "auth is ApiAuth.jwt(…); a REST API reads tokens of Amazon Cognito",
        ),
        (
            {"usage_plans": [PLAN, UsagePlan("Acme", rate_limit=1, burst_limit=1)]},
            "'Acme' is the name of several usage plans or keys",
        ),
    ],
)
def test_what_cannot_work_is_refused(stack: Stack, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape('Stack/Api: ' + problem)}"):
        new_api(stack, **options)
    assert construct_ids(stack.node.find_child("Api")) == []


def test_an_unknown_option_is_refused(stack: Stack) -> None:
    with pytest.raises(TypeError, match="atuh"):
        new_api(stack, atuh=ApiAuth.public())


def test_construct_ids_are_public(stack: Stack, model: InferenceModel) -> None:
    assert construct_ids(new_api(stack, model=model, usage_plans=[PLAN])) == [
        "AccessLogs",
        "Api",
        "ExecutionLogs",
        "Validator",
        "PredictRouteModel",
        "PredictRouteModelName",
        "InferRouteModel",
        "InferRouteModelName",
        "PartnersPlan",
        "AcmeKey",
        "AcmeKeyId",
        "UmbrellaKey",
        "UmbrellaKeyId",
        "Url",
        "OpenApiCommand",
    ]
