"""An HTTP API in front of a function that serves a model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import jsii
from aws_cdk import CfnOutput, Names, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from cdk_inference.aws.api_timeout import warn_of_short_timeout
from cdk_inference.aws.nag import acknowledge
from cdk_inference.aws.readiness import checklist as readiness
from cdk_inference.contract import DEFAULT_PREDICT_PATH, HEALTH_PATH
from cdk_inference.limits import HTTP_API_TIMEOUT_SECONDS
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_

# Letters, digits and what else RFC 3986 allows in a path unescaped, without API Gateway's own {}.
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")

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


@dataclass(frozen=True)
class ApiAuth:
    """Who may call an API.

    Example:
        >>> ApiAuth.public()
        ApiAuth(is_public=True)
    """

    is_public: bool

    @classmethod
    def iam(cls) -> ApiAuth:
        """Callers that sign their requests (SigV4) and were given :meth:`grant_invoke`."""
        return cls(is_public=False)

    @classmethod
    def public(cls) -> ApiAuth:
        """Anyone on the internet. What that can cost is bounded by the throttle."""
        return cls(is_public=True)


class InferenceHttpApi(Construct):
    """An API Gateway HTTP API: ``POST {path}`` predicts, ``GET /health`` tells the model's version.

    Most apps get one from :meth:`MLInferenceFunction.add_http_api`, which also tells the function
    its path. Access logs are JSON, one line a request, in a log group of their own.

    API Gateway waits 30 seconds at most for an answer and takes bodies of at most 10 MB, of which
    Lambda takes 6: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html

    Args:
        handler: the function, or better its alias, that answers.
        path: where the handler answers predictions. Default: ``/predict``.
        auth: who may call. Default: :meth:`ApiAuth.iam`, since nothing is public unasked.
        cors: which browser origins may call. Default: none. API Gateway then answers preflight
            requests itself, without authorization and without running the function.
        throttle: requests per second, and how many at once, before callers get 429. Default: 100
            and 200, so that a public API cannot run up the account's whole concurrency.
        log_retention: how long access logs are kept. Default: one month.

    Attributes:
        api: the HTTP API.
        stage: its only stage, ``$default``, deployed at every change.
        log_group: the access logs, kept when the stack is deleted.
        url: where predictions are posted to.

    Raises:
        ConfigurationError: ``path`` is no path, has parameters, or is ``/health``.

    Example:
        >>> api = InferenceHttpApi(stack, "Api", handler=function.alias, auth=ApiAuth.public())
        >>> api.grant_invoke(caller)  # only with ApiAuth.iam()
    """

    api: Final[apigwv2.HttpApi]
    stage: Final[apigwv2.HttpStage]
    log_group: Final[logs.LogGroup]
    url: Final[str]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        handler: lambda_.IFunction,
        path: str = DEFAULT_PREDICT_PATH,
        auth: ApiAuth | None = None,
        cors: apigwv2.CorsPreflightOptions | None = None,
        throttle: apigwv2.ThrottleSettings | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH,
    ) -> None:
        super().__init__(scope, id)
        auth = auth or ApiAuth.iam()
        throttle = throttle or apigwv2.ThrottleSettings(rate_limit=100, burst_limit=200)

        problems = Problems(self.node.path)
        _check_path(path, problems)
        problems.raise_if_any()
        warn_of_short_timeout(self, handler, HTTP_API_TIMEOUT_SECONDS)

        self.log_group = logs.LogGroup(
            self,
            "AccessLogs",
            retention=log_retention,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        self.api = apigwv2.HttpApi(
            self,
            "Api",
            api_name=Names.unique_resource_name(self, max_length=128, separator="-"),
            create_default_stage=False,
            cors_preflight=cors,
        )
        self.stage = apigwv2.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            stage_name="$default",
            auto_deploy=True,
            throttle=throttle,
            access_log_settings=_AccessLogs(self.log_group),
        )
        integration = integrations.HttpLambdaIntegration("Integration", handler)
        authorizer = None if auth.is_public else authorizers.HttpIamAuthorizer()
        self._routes = [
            apigwv2.HttpRoute(
                self,
                route_id,
                http_api=self.api,
                route_key=apigwv2.HttpRouteKey.with_(route_path, method),
                integration=integration,
                authorizer=authorizer,
            )
            for route_id, route_path, method in (
                ("PredictRoute", path, apigwv2.HttpMethod.POST),
                ("HealthRoute", HEALTH_PATH, apigwv2.HttpMethod.GET),
            )
        ]
        if auth.is_public:
            readiness.acknowledge(self, "PublicAccess", "asked for by name: ApiAuth.public()")
            for route in self._routes:
                acknowledge(route, "APIG4", "a public API was asked for by name: ApiAuth.public()")
        self.url = f"{self.api.api_endpoint}{path}"
        CfnOutput(self, "Url", value=self.url, description="POST predictions here")

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to call both routes. For an API with :meth:`ApiAuth.iam` only."""
        predict, health = self._routes
        return predict.grant_invoke(grantee).combine(health.grant_invoke(grantee))


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


def _check_path(path: str, problems: Problems) -> None:
    if not _PATH.fullmatch(path):
        problems.add(
            f"path is {path!r}",
            allowed="allowed are names of letters, digits, '.', '_', '~' and '-', each after a '/'",
            remedy="give one such as '/predict'",
        )
    if path == HEALTH_PATH:
        problems.add(
            f"path is {path!r}",
            allowed="that tells whether the function is up",
            remedy="give another one such as '/predict'",
        )
