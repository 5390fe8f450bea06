"""An HTTP API and its one stage, whatever answers behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

import jsii
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from cdk_inference.aws import openapi
from cdk_inference.aws.api_auth import ApiAuth
from cdk_inference.aws.api_name import api_name
from cdk_inference.aws.api_timeout import warn_of_short_timeout
from cdk_inference.aws.log_groups import kept_log_group
from cdk_inference.aws.nag import acknowledge
from cdk_inference.aws.readiness import checklist as readiness
from cdk_inference.limits import HTTP_API_TIMEOUT_SECONDS
from cdk_inference.validation import Problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_lambda as lambda_

    from cdk_inference.aws.api_domain import ApiDomain
    from cdk_inference.aws.api_routes import ApiRoute
    from constructs import Construct

STAGE: Final = "$default"

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
_ACCESS_LOG_FIELDS: Final = {
    "requestId": "$context.requestId",
    "requestTime": "$context.requestTime",
    "sourceIp": "$context.identity.sourceIp",
    "routeKey": "$context.routeKey",
    "status": "$context.status",
    "responseLength": "$context.responseLength",
    "responseLatency": "$context.responseLatency",
    "integrationLatency": "$context.integrationLatency",
    "error": "$context.integrationErrorMessage",
}


class HttpApiOptions(TypedDict, total=False):
    """The options of every HTTP API, all optional, as :class:`InferenceHttpApi` describes them."""

    auth: ApiAuth | None
    cors: apigwv2.CorsPreflightOptions | None
    throttle: apigwv2.ThrottleSettings | None
    domain: ApiDomain | None
    web_acl_arn: str | None
    log_retention: logs.RetentionDays
    log_encryption_key: kms.IKey | None


@dataclass(frozen=True)
class HttpFront:
    """The options of an HTTP API with their defaults, checked before anything is made."""

    auth: ApiAuth | None = None
    cors: apigwv2.CorsPreflightOptions | None = None
    throttle: apigwv2.ThrottleSettings | None = None
    domain: ApiDomain | None = None
    web_acl_arn: str | None = None
    log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH
    log_encryption_key: kms.IKey | None = None

    @property
    def access(self) -> ApiAuth:
        """Who may call."""
        return self.auth or ApiAuth.iam()

    def check(self, problems: Problems) -> None:
        """Record whatever cannot work."""
        self.access.check_for_http_api(problems)
        if self.web_acl_arn is not None:
            problems.add(
                "web_acl_arn is given",
                allowed="AWS WAF protects REST APIs, and no HTTP API",
                remedy="use a REST API, or put Amazon CloudFront with the web ACL in front and"
                " leave it out here",
            )

    def make(self, scope: Construct, routes: Sequence[ApiRoute]) -> MadeHttpApi:
        """The API with ``routes``; its resources are made in ``scope``."""
        log_group = kept_log_group(
            scope,
            "AccessLogs",
            retention=self.log_retention,
            encryption_key=self.log_encryption_key,
        )
        api = apigwv2.HttpApi(
            scope,
            "Api",
            api_name=api_name(scope),
            create_default_stage=False,
            cors_preflight=self.cors,
            disable_execute_api_endpoint=True if self.domain else None,
        )
        stage = apigwv2.HttpStage(
            scope,
            "Stage",
            http_api=api,
            stage_name=STAGE,
            auto_deploy=True,
            throttle=self.throttle or apigwv2.ThrottleSettings(rate_limit=100, burst_limit=200),
            access_log_settings=_AccessLogs(log_group),
        )
        made = self._routes(scope, api, routes)
        if self.domain is not None:
            self.domain.for_http_api(scope, stage)
        root = f"https://{self.domain.name}" if self.domain else api.api_endpoint
        return MadeHttpApi(
            scope, self.access, api, stage, log_group, made, root, self.document(scope, routes)
        )

    def document(self, scope: Construct, routes: Sequence[ApiRoute]) -> dict[str, Any]:
        """The OpenAPI document of ``routes``."""
        scheme = self.access.security_scheme
        return openapi.document(
            api_name(scope),
            routes,
            security={"auth": scheme} if scheme else {},
            server=f"https://{self.domain.name}" if self.domain else None,
        )

    def _routes(
        self, scope: Construct, api: apigwv2.HttpApi, routes: Sequence[ApiRoute]
    ) -> list[apigwv2.HttpRoute]:
        authorizer = self.access.http_authorizer()
        handlers: dict[lambda_.IFunction, integrations.HttpLambdaIntegration] = {}
        made = []
        for route in routes:
            if route.handler not in handlers:
                id = "Integration" if not handlers else f"{route.id}Integration"
                handlers[route.handler] = integrations.HttpLambdaIntegration(id, route.handler)
                warn_of_short_timeout(scope, route.handler, HTTP_API_TIMEOUT_SECONDS)
            made.append(
                apigwv2.HttpRoute(
                    scope,
                    route.id,
                    http_api=api,
                    route_key=apigwv2.HttpRouteKey.with_(
                        route.path, apigwv2.HttpMethod(route.method)
                    ),
                    integration=handlers[route.handler],
                    authorizer=authorizer,
                    authorization_scopes=self.access.required_scopes or None,
                )
            )
        if self.access.is_public:
            readiness.acknowledge(scope, "PublicAccess", "asked for by name: ApiAuth.public()")
            for http_route in made:
                reason = "a public API was asked for by name: ApiAuth.public()"
                acknowledge(http_route, "APIG4", reason)
        return made


@dataclass(frozen=True)
class MadeHttpApi:
    """What :meth:`HttpFront.make` made, in ``scope``."""

    scope: Construct
    access: ApiAuth
    api: apigwv2.HttpApi
    stage: apigwv2.HttpStage
    log_group: logs.LogGroup
    routes: list[apigwv2.HttpRoute]
    root: str
    openapi: dict[str, Any]

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to call every route.

        Raises:
            ConfigurationError: the API lets its callers in otherwise.
        """
        grants = (route.grant_invoke(grantee) for route in self.routes)
        return self.access.grant(self.scope, grants)


@jsii.implements(apigwv2.IAccessLogSettings)
class _AccessLogs:
    def __init__(self, log_group: logs.ILogGroup) -> None:
        self._log_group = log_group

    @property
    def destination(self) -> apigwv2.IAccessLogDestination:
        return apigwv2.LogGroupLogDestination(self._log_group)

    @property
    def format(self) -> apigateway.AccessLogFormat:
        return apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG_FIELDS))
