"""Who may call, under both kinds of API."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from cdk_inference import ApiAuth, ConfigurationError, InferenceHttpApi, InferenceRestApi

from tests.constructs.synthesis import construct_ids, only_logical_id, only_resource, synthesize
from tests.constructs.test_inference_http_api import handler_in

ISSUER = "https://id.example.org"


def http_routes(stack: Stack, auth: ApiAuth) -> tuple[Template, dict[str, Any]]:
    """The template, and what its routes, which are alike, ask of callers."""
    InferenceHttpApi(stack, "Api", handler=handler_in(stack), auth=auth)
    template = synthesize(stack)
    routes = [r["Properties"] for r in template.find_resources("AWS::ApiGatewayV2::Route").values()]
    asked = [(r["AuthorizationType"], r.get("AuthorizationScopes")) for r in routes]
    assert asked == [asked[0]] * len(routes)
    return template, routes[0]


def rest_methods(stack: Stack, auth: ApiAuth) -> tuple[Template, dict[str, Any]]:
    """The same of a REST API's methods."""
    InferenceRestApi(stack, "Api", handler=handler_in(stack), auth=auth)
    template = synthesize(stack)
    found = template.find_resources("AWS::ApiGateway::Method").values()
    methods = [method["Properties"] for method in found]
    asked = [(m["AuthorizationType"], m.get("AuthorizationScopes")) for m in methods]
    assert asked == [asked[0]] * len(methods)
    return template, methods[0]


def test_http_api_reads_tokens_of_a_provider(stack: Stack) -> None:
    auth = ApiAuth.jwt(ISSUER, audience=["shop"], scopes=["models/predict"])
    template, route = http_routes(stack, auth)
    assert (route["AuthorizationType"], route["AuthorizationScopes"]) == ("JWT", ["models/predict"])
    authorizer = only_resource(template, "AWS::ApiGatewayV2::Authorizer")
    assert authorizer["JwtConfiguration"] == {"Issuer": ISSUER, "Audience": ["shop"]}
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]


def test_http_api_reads_tokens_of_a_user_pool(stack: Stack) -> None:
    pool = cognito.UserPool(stack, "Users")
    template, route = http_routes(stack, ApiAuth.cognito(pool, clients=[pool.add_client("Shop")]))
    assert route["AuthorizationType"] == "JWT"
    assert "AuthorizationScopes" not in route
    configuration = only_resource(template, "AWS::ApiGatewayV2::Authorizer")["JwtConfiguration"]
    client = only_logical_id(template, "AWS::Cognito::UserPoolClient")
    assert configuration["Audience"] == [{"Ref": client}]


@pytest.fixture
def doorkeeper(stack: Stack) -> lambda_.Function:
    return lambda_.Function(
        stack,
        "Doorkeeper",
        code=lambda_.Code.from_inline("def handler(event, context): return {}"),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )


def test_http_api_asks_a_function(stack: Stack, doorkeeper: lambda_.Function) -> None:
    template, route = http_routes(stack, ApiAuth.token(doorkeeper, cache=Duration.minutes(1)))
    assert route["AuthorizationType"] == "CUSTOM"
    authorizer = only_resource(template, "AWS::ApiGatewayV2::Authorizer")
    # Of this version the event has the same members as a REST API's, and a policy is the answer.
    assert authorizer["AuthorizerPayloadFormatVersion"] == "1.0"
    assert authorizer["AuthorizerResultTtlInSeconds"] == 60


def test_rest_api_asks_a_function(stack: Stack, doorkeeper: lambda_.Function) -> None:
    template, method = rest_methods(stack, ApiAuth.token(doorkeeper))
    assert method["AuthorizationType"] == "CUSTOM"
    authorizer = only_resource(template, "AWS::ApiGateway::Authorizer")
    assert (authorizer["Type"], authorizer["AuthorizerResultTtlInSeconds"]) == ("TOKEN", 300)
    assert authorizer["IdentitySource"] == "method.request.header.Authorization"


def test_rest_api_reads_tokens_of_a_user_pool(stack: Stack) -> None:
    pool = cognito.UserPool(stack, "Users")
    template, method = rest_methods(stack, ApiAuth.cognito(pool, scopes=["models/predict"]))
    assert method["AuthorizationType"] == "COGNITO_USER_POOLS"
    assert method["AuthorizationScopes"] == ["models/predict"]
    authorizer = only_resource(template, "AWS::ApiGateway::Authorizer")
    assert len(authorizer["ProviderARNs"]) == 1


def refuse(
    stack: Stack, kind: type[InferenceHttpApi | InferenceRestApi], auth: ApiAuth, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape('Stack/Api: ' + problem)}"):
        kind(stack, "Api", handler=handler_in(stack), auth=auth)
    assert construct_ids(stack.node.find_child("Api")) == []


def test_an_http_api_needs_the_clients_of_a_pool(stack: Stack) -> None:
    auth = ApiAuth.cognito(cognito.UserPool(stack, "Users"))
    refuse(stack, InferenceHttpApi, auth, "auth is ApiAuth.cognito(…) without clients")


def test_an_http_api_needs_an_audience(stack: Stack) -> None:
    auth = ApiAuth.jwt(ISSUER, audience=[])
    refuse(stack, InferenceHttpApi, auth, "auth is ApiAuth.jwt(…) without an audience")


def test_a_rest_api_cannot_tell_clients_apart(stack: Stack) -> None:
    pool = cognito.UserPool(stack, "Users")
    auth = ApiAuth.cognito(pool, clients=[pool.add_client("Shop")])
    refuse(stack, InferenceRestApi, auth, "auth is ApiAuth.cognito(…) with 1 clients; a REST API")
