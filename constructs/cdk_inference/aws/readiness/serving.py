"""Whether a function can do what it is asked to: memory, time, warmth, concurrency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdk_inference.aws.readiness.rule import Finding, Rule, Severity
from cdk_inference.limits import HTTP_API_TIMEOUT_SECONDS, REST_API_TIMEOUT_SECONDS
from cdk_inference.memory import needed_memory_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk_inference.aws.readiness.application import Application, Resource

_HTTP_INTEGRATION: Final = "AWS::ApiGatewayV2::Integration"
_REST_METHOD: Final = "AWS::ApiGateway::Method"
_LAMBDA_DEFAULT_TIMEOUT: Final = 3
_LAMBDA_DEFAULT_MEMORY_MB: Final = 128
_CALLERS: Final = ("AWS::StepFunctions::StateMachine", "AWS::Scheduler::Schedule",
                   "AWS::Events::Rule")  # fmt: skip


def _memory(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        size = app.model_bytes(function)
        memory_mb = _number(function, "MemorySize", _LAMBDA_DEFAULT_MEMORY_MB)
        if size is None or memory_mb is None or memory_mb >= needed_memory_mb(size):
            continue
        yield Finding(
            function,
            "Properties/MemorySize",
            f"has {memory_mb:g} MB, and a model of {size / 2**20:.0f} MB serves well in"
            f" {needed_memory_mb(size)}",
        )


def _api_timeout(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        seconds = _number(function, "Timeout", _LAMBDA_DEFAULT_TIMEOUT)
        for api in app.users(function, _HTTP_INTEGRATION, _REST_METHOD):
            waits = _api_seconds(api)
            if seconds is not None and waits is not None and seconds > waits:
                yield Finding(
                    function,
                    "Properties/Timeout",
                    f"may take {seconds:g} seconds, and the API in front of it waits {waits:g}",
                )


def _api_seconds(api: Resource) -> float | None:
    if api.type == _HTTP_INTEGRATION:
        milliseconds = _number(api, "TimeoutInMillis", HTTP_API_TIMEOUT_SECONDS * 1000)
    else:
        milliseconds = _number(api, "Integration.TimeoutInMillis", REST_API_TIMEOUT_SECONDS * 1000)
    return None if milliseconds is None else milliseconds / 1000


def _warm_strategy(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        if not _is_kept_warm(app, function):
            yield Finding(
                function, "Properties", "starts cold whenever a request finds no environment free"
            )


def _is_kept_warm(app: Application, function: Resource) -> bool:
    return (
        function.get("SnapStart.ApplyOn") == "PublishedVersions"
        or any(handle.get("ProvisionedConcurrencyConfig") for handle in app.handles(function))
        or bool(app.users(function, "AWS::ApplicationAutoScaling::ScalableTarget"))
        or any(caller.says("warmup") for caller in app.users(function, *_CALLERS))
    )


def _concurrency(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        if function.get("ReservedConcurrentExecutions") is None and not _is_throttled(
            app, function
        ):
            yield Finding(
                function,
                "Properties/ReservedConcurrentExecutions",
                "may take the concurrency of the whole account, and run up its bill",
            )


def _is_throttled(app: Application, function: Resource) -> bool:
    apis = {
        api
        for user in app.users(function, _HTTP_INTEGRATION, _REST_METHOD)
        for api in app.mentioned(user, "ApiId") | app.mentioned(user, "RestApiId")
    }
    stages = app.of_type("AWS::ApiGatewayV2::Stage", "AWS::ApiGateway::Stage")
    return any(
        stage.says("ThrottlingRateLimit")
        and not apis.isdisjoint(app.mentioned(stage, "ApiId") | app.mentioned(stage, "RestApiId"))
        for stage in stages
    ) or any(
        source.get("ScalingConfig.MaximumConcurrency")
        for source in app.users(function, "AWS::Lambda::EventSourceMapping")
    )


def _number(resource: Resource, path: str, default: float) -> float | None:
    """The number there; ``None`` for what only a deployment knows."""
    value: Any = resource.get(path)
    if value is None:
        return default
    return value if isinstance(value, int | float) else None


RULES: Final = (
    Rule(
        "MemoryHeadroom",
        Severity.ERROR,
        "A function has memory for its model, packed weights, and a request",
        "leave memory_size out, or measure the peak and acknowledge this with it",
        _memory,
    ),
    Rule(
        "ApiTimeout",
        Severity.ERROR,
        "A function ends before its API does",
        "lower the function's timeout, raise the API's, or take long requests through a queue",
        _api_timeout,
    ),
    Rule(
        "WarmStrategy",
        Severity.WARNING,
        "It is said how callers are spared cold starts, or that they are not",
        "give MLInferenceFunction a warm_strategy; WarmStrategy.none() says it too",
        _warm_strategy,
    ),
    Rule(
        "ConcurrencyLimit",
        Severity.WARNING,
        "Something bounds how many requests run at once",
        "set reserved_concurrency, throttle the API, or limit the event source's concurrency",
        _concurrency,
    ),
)
