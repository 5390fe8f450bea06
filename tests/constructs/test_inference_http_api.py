from __future__ import annotations

import json
import re
from typing import Any

import pytest
import schemathesis
from aws_cdk import Stack
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk.assertions import Template
from cdk_inference import ApiAuth, ApiDomain, ConfigurationError, InferenceHttpApi, InferenceModel
from cdk_inference.testing import stable_template
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import (
    RECOMMENDED_FLAGS,
    construct_ids,
    new_stack,
    only_logical_id,
    only_resource,
    synthesize,
)


def handler_in(stack: Stack) -> lambda_.IFunction:
    return lambda_.Function(
        stack,
        "Handler",
        code=lambda_.Code.from_inline("def handler(event, context): return {}"),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )


def new_api(stack: Stack, **options: Any) -> InferenceHttpApi:
    return InferenceHttpApi(stack, "Api", handler=handler_in(stack), **options)


def routes(template: Template) -> dict[str, str]:
    found = template.find_resources("AWS::ApiGatewayV2::Route").values()
    return {
        route["Properties"]["RouteKey"]: route["Properties"]["AuthorizationType"] for route in found
    }


def test_minimal_template(stack: Stack, snapshot: SnapshotAssertion) -> None:
    new_api(stack)
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    api = new_api(
        stack,
        path="/v1/digits",
        auth=ApiAuth.iam(),
        cors=apigwv2.CorsPreflightOptions(
            allow_origins=["https://example.org"],
            allow_methods=[apigwv2.CorsHttpMethod.POST],
            allow_headers=["content-type"],
        ),
        throttle=apigwv2.ThrottleSettings(rate_limit=5, burst_limit=10),
        log_retention=logs.RetentionDays.ONE_YEAR,
    )
    api.grant_invoke(
        iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    )
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_nothing_is_public_unasked(stack: Stack) -> None:
    new_api(stack)
    assert routes(synthesize(stack)) == {"POST /predict": "AWS_IAM", "GET /health": "AWS_IAM"}


def test_public_when_asked_by_name(stack: Stack) -> None:
    new_api(stack, auth=ApiAuth.public())
    assert routes(synthesize(stack)) == {"POST /predict": "NONE", "GET /health": "NONE"}


def test_both_routes_go_to_the_handler(stack: Stack) -> None:
    new_api(stack)
    template = synthesize(stack)
    integration = only_resource(template, "AWS::ApiGatewayV2::Integration")
    function = only_logical_id(template, "AWS::Lambda::Function")
    assert integration["IntegrationUri"] == {"Fn::GetAtt": [function, "Arn"]}
    assert integration["PayloadFormatVersion"] == "2.0"


def test_it_is_throttled(stack: Stack) -> None:
    new_api(stack)
    settings = only_resource(synthesize(stack), "AWS::ApiGatewayV2::Stage")["DefaultRouteSettings"]
    assert settings == {"ThrottlingRateLimit": 100, "ThrottlingBurstLimit": 200}


def test_access_logs_are_json_in_a_group_that_expires(stack: Stack) -> None:
    new_api(stack)
    template = synthesize(stack)
    access_logs = only_resource(template, "AWS::ApiGatewayV2::Stage")["AccessLogSettings"]
    assert json.loads(access_logs["Format"])["requestId"] == "$context.requestId"
    template.has_resource_properties("AWS::Logs::LogGroup", {"RetentionInDays": 30})


def test_the_url_has_the_path(stack: Stack) -> None:
    api = new_api(stack, path="/digits")
    template = synthesize(stack)
    (output,) = template.find_outputs("*").values()
    assert output["Value"]["Fn::Join"][1][1] == "/digits"
    assert stack.resolve(api.url) == output["Value"]


def test_grant_invoke_needs_iam(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match=r"ApiAuth\.iam"):
        new_api(stack, auth=ApiAuth.public()).grant_invoke(iam.AccountRootPrincipal())


@pytest.mark.parametrize(
    "path",
    ["", "/", "predict", "/predict/", "//x", "/{proxy+}", "/a b", "/health", "/v2", "/v2/digits"],
)
def test_what_is_no_path_of_its_own_is_refused(stack: Stack, path: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^Stack/Api: path is {re.escape(repr(path))};"):
        new_api(stack, path=path)


@given(st.lists(st.from_regex(r"[A-Za-z0-9._~-]+", fullmatch=True), min_size=1, max_size=3))
def test_any_unreserved_path_is_allowed(names: list[str]) -> None:
    from cdk_inference.aws.api_routes import check_path
    from cdk_inference.validation import Problems

    problems = Problems("Stack/Api")
    check_path("/" + "/".join(names), problems)
    if names != ["health"] and names[0] != "v2":
        problems.raise_if_any()


def test_with_a_domain_the_api_has_no_other_name(stack: Stack) -> None:
    certificate = acm.Certificate.from_certificate_arn(
        stack, "Certificate", "arn:aws:acm:us-east-1:123456789012:certificate/1"
    )
    zone = route53.HostedZone.from_hosted_zone_attributes(
        stack, "Zone", hosted_zone_id="Z1", zone_name="example.org"
    )
    api = new_api(stack, domain=ApiDomain("models.example.org", certificate, zone))
    template = synthesize(stack)
    made = only_resource(template, "AWS::ApiGatewayV2::Api")
    assert made["DisableExecuteApiEndpoint"] is True
    domain = only_resource(template, "AWS::ApiGatewayV2::DomainName")
    (configuration,) = domain["DomainNameConfigurations"]
    assert (domain["DomainName"], configuration["SecurityPolicy"]) == (
        "models.example.org",
        "TLS_1_2",
    )
    template.resource_count_is("AWS::ApiGatewayV2::ApiMapping", 1)
    records = template.find_resources("AWS::Route53::RecordSet").values()
    assert {(r["Properties"]["Type"], r["Properties"]["Name"]) for r in records} == {
        ("A", "models.example.org."),
        ("AAAA", "models.example.org."),
    }
    assert api.url == "https://models.example.org/predict"


def test_a_web_acl_is_refused_with_the_way_out(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match=r"AWS WAF protects REST APIs.*use a REST API"):
        new_api(stack, web_acl_arn="arn:aws:wafv2:us-east-1:123456789012:regional/webacl/a/1")


def test_access_logs_are_encrypted_with_a_key(stack: Stack) -> None:
    new_api(stack, log_encryption_key=kms.Key(stack, "Key"))
    template = Template.from_stack(stack)
    assert "KmsKeyId" in only_resource(template, "AWS::Logs::LogGroup")
    (_, logs_may) = only_resource(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    assert "kms:EncryptionContext:aws:logs:arn" in logs_may["Condition"]["ArnLike"]


def test_with_its_model_the_protocol_is_answered_and_documented(
    stack: Stack, model: InferenceModel
) -> None:
    api = new_api(stack, model=model)
    assert set(routes(Template.from_stack(stack))) == {
        "POST /predict",
        "GET /health",
        "POST /v2/models/scale/infer",
        "GET /v2/models/scale",
        "GET /v2/models/scale/ready",
    }
    document = json.loads(json.dumps(api.openapi))
    schemathesis.openapi.from_dict(document).validate()
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["anyOf"][0]["required"] == ["features"]


def test_an_unknown_option_is_refused(stack: Stack) -> None:
    with pytest.raises(TypeError, match="atuh"):
        new_api(stack, atuh=ApiAuth.public())


def test_construct_ids_are_public(stack: Stack) -> None:
    assert construct_ids(new_api(stack)) == [
        "AccessLogs",
        "Api",
        "Stage",
        "PredictRoute",
        "HealthRoute",
        "Url",
    ]
