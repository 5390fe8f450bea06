"""A REST API and its one stage, whatever answers behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as wafv2

from cdk_inference.aws import openapi
from cdk_inference.aws.api_auth import ApiAuth
from cdk_inference.aws.api_name import api_name
from cdk_inference.aws.api_timeout import warn_of_short_timeout
from cdk_inference.aws.log_groups import kept_log_group
from cdk_inference.aws.nag import acknowledge
from cdk_inference.aws.readiness import checklist as readiness
from cdk_inference.limits import REST_API_TIMEOUT_SECONDS
from cdk_inference.validation import Problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_lambda as lambda_

    from cdk_inference.aws.api_domain import ApiDomain
    from cdk_inference.aws.api_routes import ApiRoute
    from cdk_inference.aws.usage_plan import UsagePlan
    from cdk_inference.request_schema import Schema
    from constructs import Construct

STAGE: Final = "prod"

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
_ACCESS_LOG_FIELDS: Final = {
    "requestId": "$context.requestId",
    "requestTime": "$context.requestTime",
    "sourceIp": "$context.identity.sourceIp",
    "apiKeyId": "$context.identity.apiKeyId",
    "httpMethod": "$context.httpMethod",
    "resourcePath": "$context.resourcePath",
    "status": "$context.status",
    "responseLength": "$context.responseLength",
    "responseLatency": "$context.responseLatency",
    "integrationLatency": "$context.integrationLatency",
    "wafStatus": "$context.waf.status",
    "error": "$context.error.message",
}

# In the form of the runtime's own errors. What a validator finds is not put in, since API Gateway
# does not escape its quotes.
_DOES_NOT_FIT: Final = {
    "error": {
        "code": "INVALID_INPUT",
        "message": "the body does not fit the model's signature, or is not JSON; send what the"
        " API's OpenAPI document has for this path",
    }
}


# Such an answer says nothing of a model; without this header a page learns that there was one, and
# not which.
_READABLE_BY_PAGES: Final = {"Access-Control-Allow-Origin": "'*'"}
_REFUSALS: Final = {
    "Refused": apigateway.ResponseType.DEFAULT_4_XX,
    "Failed": apigateway.ResponseType.DEFAULT_5_XX,
}


class RestApiOptions(TypedDict, total=False):
    """The options of every REST API, all optional, as :class:`InferenceRestApi` describes them."""

    auth: ApiAuth | None
    cors_origins: Sequence[str]
    throttle: apigateway.ThrottleSettings | None
    usage_plans: Sequence[UsagePlan]
    domain: ApiDomain | None
    web_acl_arn: str | None
    timeout: Duration | None
    log_retention: logs.RetentionDays
    log_encryption_key: kms.IKey | None
    account_logging: bool


@dataclass(frozen=True)
class RestFront:
    """The options of a REST API with their defaults, checked before anything is made."""

    auth: ApiAuth | None = None
    cors_origins: Sequence[str] = ()
    throttle: apigateway.ThrottleSettings | None = None
    usage_plans: Sequence[UsagePlan] = ()
    domain: ApiDomain | None = None
    web_acl_arn: str | None = None
    timeout: Duration | None = None
    log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH
    log_encryption_key: kms.IKey | None = None
    account_logging: bool = True

    @property
    def access(self) -> ApiAuth:
        """Who may call."""
        return self.auth or ApiAuth.iam()

    def check(self, problems: Problems) -> None:
        """Record whatever cannot work."""
        self.access.check_for_rest_api(problems)
        names = [name for plan in self.usage_plans for name in (plan.name, *plan.keys)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            problems.add(
                f"{name!r} is the name of several usage plans or keys",
                allowed="each has a name of its own",
                remedy="give one of them another name",
            )

    def make(self, scope: Construct, routes: Sequence[ApiRoute]) -> MadeRestApi:
        """The API with ``routes``; its resources are made in ``scope``."""
        log_group = kept_log_group(
            scope,
            "AccessLogs",
            retention=self.log_retention,
            encryption_key=self.log_encryption_key,
        )
        api = self._api(scope, log_group)
        api.node.try_remove_child("Endpoint")  # an output, which the API's own says better
        self._execution_logs(scope, api)
        methods = self._methods(scope, api, routes)
        stage = api.deployment_stage
        if self.domain is not None:
            self.domain.for_rest_api(scope, api)
        if self.web_acl_arn is not None:
            wafv2.CfnWebACLAssociation(
                scope, "WebAcl", resource_arn=stage.stage_arn, web_acl_arn=self.web_acl_arn
            )
        plans = {plan.name: plan.make(scope, stage) for plan in self.usage_plans}
        keys = {
            name: plan.make_key(scope, name, plans[plan.name])
            for plan in self.usage_plans
            for name in plan.keys
        }
        if self.access.is_public:
            readiness.acknowledge(scope, "PublicAccess", "asked for by name: ApiAuth.public()")
        self._acknowledge(api, methods)
        root = f"https://{self.domain.name}" if self.domain else api.url.removesuffix("/")
        return MadeRestApi(
            scope,
            self.access,
            api,
            stage,
            log_group,
            methods,
            plans,
            keys,
            root,
            self._document(scope, routes),
        )

    def _api(self, scope: Construct, log_group: logs.LogGroup) -> apigateway.RestApi:
        throttle = self.throttle or apigateway.ThrottleSettings(rate_limit=100, burst_limit=200)
        return apigateway.RestApi(
            scope,
            "Api",
            rest_api_name=api_name(scope),
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            binary_media_types=[openapi.BINARY_TYPE],
            disable_execute_api_endpoint=True if self.domain else None,
            cloud_watch_role=self.account_logging,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                throttling_rate_limit=throttle.rate_limit,
                throttling_burst_limit=throttle.burst_limit,
                access_log_destination=apigateway.LogGroupLogDestination(log_group),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG_FIELDS)),
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                tracing_enabled=True,
            ),
        )

    def _execution_logs(self, scope: Construct, api: apigateway.RestApi) -> None:
        """API Gateway would make this group itself, and keep its entries for ever."""
        group = kept_log_group(
            scope,
            "ExecutionLogs",
            retention=self.log_retention,
            encryption_key=self.log_encryption_key,
            name=f"API-Gateway-Execution-Logs_{api.rest_api_id}/{STAGE}",
        )
        api.deployment_stage.node.add_dependency(group)

    def _methods(
        self, scope: Construct, api: apigateway.RestApi, routes: Sequence[ApiRoute]
    ) -> list[apigateway.Method]:
        authorization_type, authorizer = self.access.rest_authorization(scope)
        validator = apigateway.RequestValidator(
            scope,
            "Validator",
            rest_api=api,
            validate_request_body=True,
            validate_request_parameters=True,
        )
        self._refusals(api)
        methods = []
        integrations: dict[lambda_.IFunction, apigateway.LambdaIntegration] = {}
        for route in routes:
            if route.handler not in integrations:
                integrations[route.handler] = self._integration(scope, route.handler)
            resource = api.root.resource_for_path(route.path)
            method = resource.add_method(
                route.method,
                integrations[route.handler],
                authorization_type=authorization_type,
                authorizer=authorizer,
                authorization_scopes=self.access.required_scopes or None,
                api_key_required=bool(self.usage_plans),
                request_validator=validator if route.schema else None,
                request_models=(
                    {"application/json": _request_model(scope, api, route.id, route.schema)}
                    if route.schema
                    else None
                ),
            )
            methods.append(method)
            if self.cors_origins and route.method == "POST":
                resource.add_cors_preflight(
                    allow_origins=list(self.cors_origins), allow_methods=[route.method]
                )
        return methods

    def _refusals(self, api: apigateway.RestApi) -> None:
        """What API Gateway answers itself, and that browsers' pages may read it."""
        headers = _READABLE_BY_PAGES if self.cors_origins else None
        api.add_gateway_response(
            "BodyDoesNotFit",
            type=apigateway.ResponseType.BAD_REQUEST_BODY,
            templates={"application/json": json.dumps(_DOES_NOT_FIT)},
            response_headers=headers,
        )
        if headers is not None:
            for id, type in _REFUSALS.items():
                api.add_gateway_response(id, type=type, response_headers=headers)

    def _integration(
        self, scope: Construct, handler: lambda_.IFunction
    ) -> apigateway.LambdaIntegration:
        timeout = self.timeout or Duration.seconds(REST_API_TIMEOUT_SECONDS)
        if not timeout.is_unresolved():
            warn_of_short_timeout(scope, handler, timeout.to_milliseconds() / 1000)
        return apigateway.LambdaIntegration(handler, timeout=timeout, allow_test_invoke=False)

    def _acknowledge(self, api: apigateway.RestApi, methods: Sequence[apigateway.Method]) -> None:
        for method in methods:
            if self.access.is_public:
                reason = "a public API was asked for by name: ApiAuth.public()"
                acknowledge(method, "APIG4", reason)
            if not self.access.is_cognito:
                acknowledge(method, "COG4", "auth was chosen, and Cognito is one of its choices")
        if self.web_acl_arn is None:
            reason = (
                "a web ACL costs $5 a month and more; web_acl_arn is there for those who want one"
            )
            acknowledge(api.deployment_stage, "APIG3", reason)
        if self.account_logging:
            acknowledge(
                api.node.find_child("CloudWatchRole"),
                "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
                "AmazonAPIGatewayPushToCloudWatchLogs]",
                "it is one role for all APIs of the account, and AWS says which policy it has",
            )

    def _document(self, scope: Construct, routes: Sequence[ApiRoute]) -> dict[str, Any]:
        schemes: dict[str, dict[str, Any]] = {}
        if (scheme := self.access.security_scheme) is not None:
            schemes["auth"] = scheme
        if self.usage_plans:
            schemes["apiKey"] = {"type": "apiKey", "name": "x-api-key", "in": "header"}
        server = f"https://{self.domain.name}" if self.domain else None
        return openapi.document(api_name(scope), routes, security=schemes, server=server)


@dataclass(frozen=True)
class MadeRestApi:
    """What :meth:`RestFront.make` made, in ``scope``."""

    scope: Construct
    access: ApiAuth
    api: apigateway.RestApi
    stage: apigateway.Stage
    log_group: logs.LogGroup
    methods: list[apigateway.Method]
    usage_plans: dict[str, apigateway.UsagePlan]
    api_keys: dict[str, apigateway.ApiKey]
    root: str
    openapi: dict[str, Any]

    @property
    def export_command(self) -> str:
        """What writes the OpenAPI document of the deployed stage."""
        return (
            f"aws apigateway get-export --rest-api-id {self.api.rest_api_id} --stage-name {STAGE}"
            " --export-type oas30 openapi.json"
        )

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to call every method.

        Raises:
            ConfigurationError: the API lets its callers in otherwise.
        """
        return self.access.grant(
            self.scope, (method.grant_execute(grantee) for method in self.methods)
        )


def _request_model(
    scope: Construct, api: apigateway.RestApi, route_id: str, schema: Schema
) -> apigateway.IModel:
    model = apigateway.CfnModel(
        scope,
        f"{route_id}Model",
        rest_api_id=api.rest_api_id,
        content_type="application/json",
        schema={"$schema": "http://json-schema.org/draft-04/schema#", **schema},
    )
    if api.latest_deployment is not None:  # it is a copy of the API: have it follow the schema
        api.latest_deployment.add_to_logical_id(schema)
    return apigateway.Model.from_model_name(scope, f"{route_id}ModelName", model.ref)
