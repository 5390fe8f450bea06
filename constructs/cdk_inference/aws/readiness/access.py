"""Whether anything is open to the internet that nobody meant to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdk_inference.aws.readiness.rule import Finding, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk_inference.aws.readiness.application import Application

_BLOCKS: Final = (
    "BlockPublicAcls",
    "BlockPublicPolicy",
    "IgnorePublicAcls",
    "RestrictPublicBuckets",
)


def _public_access(app: Application) -> Iterator[Finding]:
    yield from _open_routes(app)
    for url in app.of_type("AWS::Lambda::Url"):
        if url.get("AuthType") == "NONE":
            yield Finding(url, "Properties/AuthType", "answers anyone on the internet")
    for permission in app.of_type("AWS::Lambda::Permission"):
        # Those of a function URL are open as far as the URL is, which is found by itself.
        is_limited = any(
            permission.get(name)
            for name in (
                "PrincipalOrgID",
                "SourceArn",
                "FunctionUrlAuthType",
                "InvokedViaFunctionUrl",
            )
        )
        if permission.get("Principal") == "*" and not is_limited:
            yield Finding(permission, "Properties/Principal", "allows every AWS account")
    for bucket in app.of_type("AWS::S3::Bucket"):
        if any(bucket.get(f"PublicAccessBlockConfiguration.{name}") is False for name in _BLOCKS):
            yield Finding(bucket, "Properties/PublicAccessBlockConfiguration", "may be made public")


def _open_routes(app: Application) -> Iterator[Finding]:
    for route in app.of_type("AWS::ApiGatewayV2::Route"):
        if route.get("AuthorizationType") in (None, "NONE"):
            yield Finding(
                route,
                "Properties/AuthorizationType",
                f"answers anyone on the internet at {route.get('RouteKey')}",
            )
    for method in app.of_type("AWS::ApiGateway::Method"):
        is_preflight = method.get("HttpMethod") == "OPTIONS"
        if not is_preflight and method.get("AuthorizationType") in (None, "NONE"):
            yield Finding(
                method, "Properties/AuthorizationType", "answers anyone who reaches the API"
            )


RULES: Final = (
    Rule(
        "PublicAccess",
        Severity.ERROR,
        "Nothing is public that nobody asked to be",
        "authorize callers (ApiAuth.iam()), or say that it is meant: ApiAuth.public() does",
        _public_access,
    ),
)
