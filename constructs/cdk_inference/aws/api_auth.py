"""Who may call an API, of either kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk.aws_iam import Grant

from cdk_inference.validation import Problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aws_cdk import aws_apigatewayv2 as apigwv2
    from aws_cdk import aws_cognito as cognito
    from aws_cdk import aws_lambda as lambda_

    from constructs import Construct

_DEFAULT_CACHE = Duration.minutes(5)


@dataclass(frozen=True)
class ApiAuth:
    """Who may call an API: made with one of the methods here.

    Example:
        >>> ApiAuth.cognito(pool, clients=[client], scopes=["models/predict"])
    """

    @staticmethod
    def iam() -> ApiAuth:
        """Callers that sign their requests (SigV4) and were given :meth:`grant_invoke`."""
        return _Iam()

    @staticmethod
    def public() -> ApiAuth:
        """Anyone on the internet. What that can cost is bounded by the throttle."""
        return _Public()

    @staticmethod
    def jwt(issuer: str, *, audience: Sequence[str], scopes: Sequence[str] = ()) -> ApiAuth:
        """Callers with a token (JWT) of an OpenID Connect provider. For HTTP APIs alone.

        Args:
            issuer: the provider's URL, ``iss`` in the token.
            audience: one of which the token was made for, ``aud`` or ``client_id`` in it.
            scopes: one of which the token has. Default: any, or none.
        """
        return _Jwt(issuer, tuple(audience), tuple(scopes))

    @staticmethod
    def cognito(
        pool: cognito.IUserPool,
        *,
        clients: Sequence[cognito.IUserPoolClient] = (),
        scopes: Sequence[str] = (),
    ) -> ApiAuth:
        """Callers with a token of an Amazon Cognito user pool.

        A REST API takes identity tokens, of any client, where no scope is asked for, and access
        tokens where one is; an HTTP API takes both.

        Args:
            pool: the user pool.
            clients: whose tokens are taken. An HTTP API needs one at least; a REST API cannot tell
                them apart and takes none.
            scopes: one of which an access token has. Default: none is asked for.
        """
        return _Cognito(pool, tuple(clients), tuple(scopes))

    @staticmethod
    def token(function: lambda_.IFunction, *, cache: Duration = _DEFAULT_CACHE) -> ApiAuth:
        """Callers whom a function of yours lets in (a Lambda authorizer).

        Under both kinds of API it finds the header ``Authorization`` in ``authorizationToken``
        and answers with an IAM policy:
        https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html

        Args:
            function: the authorizer.
            cache: how long its answer stands for the same token, up to an hour. It does for all
                paths, so the policy has to allow all that the caller may do. Default: 5 minutes.
        """
        return _Token(function, cache)

    @property
    def is_public(self) -> bool:
        """Whether anyone may call."""
        return False

    @property
    def is_iam(self) -> bool:
        """Whether callers sign their requests, and are granted access."""
        return False

    @property
    def is_cognito(self) -> bool:
        """Whether callers have a token of a user pool."""
        return False

    @property
    def required_scopes(self) -> list[str]:
        """Those of which a token has one; empty where none is asked for."""
        return []

    @property
    def security_scheme(self) -> dict[str, Any] | None:
        """How OpenAPI describes it; ``None`` where nothing is asked of callers."""
        return {"type": "http", "scheme": "bearer"}

    def check_for_http_api(self, problems: Problems) -> None:
        """Record what an HTTP API cannot do."""

    def check_for_rest_api(self, problems: Problems) -> None:
        """Record what a REST API cannot do."""

    def grant(self, scope: Construct, grants: Iterator[Grant]) -> Grant:
        """All of ``grants``, which are made only if callers of the API in ``scope`` sign.

        Raises:
            ConfigurationError: another way lets them in.
        """
        problems = Problems(scope.node.path)
        if not self.is_iam:
            problems.add(
                "grant_invoke was called",
                allowed="grants are for callers that sign their requests",
                remedy="give the API auth=ApiAuth.iam(), or leave the grant out",
            )
        problems.raise_if_any()
        return reduce(Grant.combine, grants)

    def http_authorizer(self) -> apigwv2.IHttpRouteAuthorizer | None:
        """What an HTTP API asks; ``None`` for nothing."""
        raise NotImplementedError

    def rest_authorization(
        self, scope: Construct
    ) -> tuple[apigateway.AuthorizationType, apigateway.IAuthorizer | None]:
        """What a REST API asks, made in ``scope``."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Public(ApiAuth):
    @property
    def is_public(self) -> bool:
        return True

    @property
    def security_scheme(self) -> dict[str, Any] | None:
        return None

    def http_authorizer(self) -> apigwv2.IHttpRouteAuthorizer | None:
        return None

    def rest_authorization(
        self, _scope: Construct
    ) -> tuple[apigateway.AuthorizationType, apigateway.IAuthorizer | None]:
        return apigateway.AuthorizationType.NONE, None


@dataclass(frozen=True)
class _Iam(ApiAuth):
    @property
    def is_iam(self) -> bool:
        return True

    @property
    def security_scheme(self) -> dict[str, Any] | None:
        # OpenAPI has no scheme for signatures; this is how API Gateway's own exports say it.
        return {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "x-amazon-apigateway-authtype": "awsSigv4",
        }

    def http_authorizer(self) -> apigwv2.IHttpRouteAuthorizer | None:
        return authorizers.HttpIamAuthorizer()

    def rest_authorization(
        self, _scope: Construct
    ) -> tuple[apigateway.AuthorizationType, apigateway.IAuthorizer | None]:
        return apigateway.AuthorizationType.IAM, None


@dataclass(frozen=True)
class _Jwt(ApiAuth):
    issuer: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...]

    @property
    def required_scopes(self) -> list[str]:
        return list(self.scopes)

    def check_for_http_api(self, problems: Problems) -> None:
        if not self.audience:
            problems.add(
                "auth is ApiAuth.jwt(…) without an audience",
                allowed="API Gateway compares the token's audience with at least one",
                remedy="give the client ids, or whatever your provider writes into aud",
            )

    def check_for_rest_api(self, problems: Problems) -> None:
        problems.add(
            "auth is ApiAuth.jwt(…)",
            allowed="a REST API reads tokens of Amazon Cognito, and leaves others to a function",
            remedy="use ApiAuth.cognito(…), ApiAuth.token(…) with a function that checks the"
            " token, or an HTTP API",
        )

    def http_authorizer(self) -> apigwv2.IHttpRouteAuthorizer | None:
        return authorizers.HttpJwtAuthorizer(
            "JwtAuthorizer", self.issuer, jwt_audience=list(self.audience)
        )


@dataclass(frozen=True)
class _Cognito(ApiAuth):
    pool: cognito.IUserPool
    clients: tuple[cognito.IUserPoolClient, ...]
    scopes: tuple[str, ...]

    @property
    def is_cognito(self) -> bool:
        return True

    @property
    def required_scopes(self) -> list[str]:
        return list(self.scopes)

    def check_for_http_api(self, problems: Problems) -> None:
        if not self.clients:
            problems.add(
                "auth is ApiAuth.cognito(…) without clients",
                allowed="an HTTP API takes tokens of the clients that it is given",
                remedy="give clients=[pool.add_client(…)]",
            )

    def check_for_rest_api(self, problems: Problems) -> None:
        if self.clients:
            problems.add(
                f"auth is ApiAuth.cognito(…) with {len(self.clients)} clients",
                allowed="a REST API takes tokens of all clients of the pool",
                remedy="leave clients out and tell callers apart by scopes, or use an HTTP API",
            )

    def http_authorizer(self) -> apigwv2.IHttpRouteAuthorizer | None:
        return authorizers.HttpUserPoolAuthorizer(
            "CognitoAuthorizer", self.pool, user_pool_clients=list(self.clients)
        )

    def rest_authorization(
        self, scope: Construct
    ) -> tuple[apigateway.AuthorizationType, apigateway.IAuthorizer | None]:
        authorizer = apigateway.CognitoUserPoolsAuthorizer(
            scope, "CognitoAuthorizer", cognito_user_pools=[self.pool]
        )
        return apigateway.AuthorizationType.COGNITO, authorizer


@dataclass(frozen=True)
class _Token(ApiAuth):
    function: lambda_.IFunction
    cache: Duration

    def http_authorizer(self) -> apigwv2.IHttpRouteAuthorizer | None:
        return authorizers.HttpLambdaAuthorizer(
            "TokenAuthorizer",
            self.function,
            response_types=[authorizers.HttpLambdaResponseType.IAM],
            results_cache_ttl=self.cache,
        )

    def rest_authorization(
        self, scope: Construct
    ) -> tuple[apigateway.AuthorizationType, apigateway.IAuthorizer | None]:
        authorizer = apigateway.TokenAuthorizer(
            scope, "TokenAuthorizer", handler=self.function, results_cache_ttl=self.cache
        )
        return apigateway.AuthorizationType.CUSTOM, authorizer
