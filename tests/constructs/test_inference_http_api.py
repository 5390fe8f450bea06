from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Template
from cdk_inference import ApiAuth, ConfigurationError, InferenceHttpApi
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
    "path", ["", "/", "predict", "/predict/", "//x", "/{proxy+}", "/a b", "/health"]
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
    if names != ["health"]:
        problems.raise_if_any()


def test_construct_ids_are_public(stack: Stack) -> None:
    assert construct_ids(new_api(stack)) == [
        "AccessLogs",
        "Api",
        "Stage",
        "PredictRoute",
        "HealthRoute",
        "Url",
    ]
