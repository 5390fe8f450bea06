"""Whether what nobody waits for is kept when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdk_inference.aws.readiness.application import FUNCTION
from cdk_inference.aws.readiness.rule import Finding, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk_inference.aws.readiness.application import Application, Resource

_QUEUE: Final = "AWS::SQS::Queue"
# Services that invoke a function and go on. https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html
_ASYNCHRONOUS: Final = tuple(
    f"{service}.amazonaws.com" for service in ("s3", "sns", "events", "ses", "iot")
)


def _dead_letters(app: Application) -> Iterator[Finding]:
    yield from _event_sources(app)
    yield from _rules_and_schedules(app)
    yield from _subscriptions(app)
    yield from _functions(app)


def _event_sources(app: Application) -> Iterator[Finding]:
    for source in app.of_type("AWS::Lambda::EventSourceMapping"):
        origins = app.mentioned(source, "EventSourceArn")
        for queue in origins:
            if queue.type == _QUEUE and not queue.get("RedrivePolicy"):
                yield Finding(
                    queue, "Properties/RedrivePolicy", "hands out a message that fails forever"
                )
        is_stream = any(origin.type != _QUEUE for origin in origins)
        if is_stream and not source.get("DestinationConfig.OnFailure"):
            yield Finding(
                source, "Properties/DestinationConfig", "drops the records of a batch that fails"
            )


def _rules_and_schedules(app: Application) -> Iterator[Finding]:
    for schedule in app.of_type("AWS::Scheduler::Schedule"):
        if not schedule.get("Target.DeadLetterConfig"):
            yield Finding(
                schedule, "Properties/Target/DeadLetterConfig", "drops a start that fails"
            )
    for rule in app.of_type("AWS::Events::Rule"):
        targets: list[dict[str, Any]] = rule.get("Targets") or []
        if any("DeadLetterConfig" not in target for target in targets):
            yield Finding(rule, "Properties/Targets", "drops an event that cannot be delivered")


def _subscriptions(app: Application) -> Iterator[Finding]:
    for subscription in app.of_type("AWS::SNS::Subscription"):
        to_code = subscription.get("Protocol") in ("lambda", "sqs", "firehose")
        if to_code and not subscription.get("RedrivePolicy"):
            yield Finding(
                subscription,
                "Properties/RedrivePolicy",
                "drops a message that cannot be delivered",
            )


def _functions(app: Application) -> Iterator[Finding]:
    for function in app.of_type(FUNCTION):
        permissions = app.users(function, "AWS::Lambda::Permission")
        is_asynchronous = any(p.get("Principal") in _ASYNCHRONOUS for p in permissions)
        if is_asynchronous and not _keeps_failed_events(app, function):
            yield Finding(
                function,
                "Properties/DeadLetterConfig",
                "is invoked asynchronously, and drops an event after two more attempts",
            )


def _keeps_failed_events(app: Application, function: Resource) -> bool:
    return bool(function.get("DeadLetterConfig")) or any(
        config.get("DestinationConfig.OnFailure")
        for config in app.users(function, "AWS::Lambda::EventInvokeConfig")
    )


RULES: Final = (
    Rule(
        "DeadLetterQueue",
        Severity.ERROR,
        "What is asynchronous has a dead-letter queue or a destination for failures",
        "give it one, and an alarm on its first message",
        _dead_letters,
    ),
)
