"""Whether somebody sees what happens, and gets back from it: releases, alarms, logs, the bill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdk_inference.aws.readiness.rule import Finding, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk_inference.aws.readiness.application import Application, Resource

_ALIAS: Final = "AWS::Lambda::Alias"
_ALARMS: Final = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")


def _release(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        aliases = [handle for handle in app.handles(function) if handle.type == _ALIAS]
        if not aliases:
            yield Finding(function, "Properties", "has no alias that a release could move")
        for alias in sorted(aliases, key=lambda alias: alias.logical_id):
            missing = _missing_of_release(app, alias)
            if missing:
                yield Finding(alias, "UpdatePolicy", missing)


def _missing_of_release(app: Application, alias: Resource) -> str | None:
    update = alias.definition.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate")
    if not update:
        return "moves all traffic to a new version at once"
    for group in app.of_type("AWS::CodeDeploy::DeploymentGroup"):
        if group in app.references(alias.template, update):
            if not group.get("AutoRollbackConfiguration.Enabled"):
                return "is not rolled back when a release fails"
            if not group.get("AlarmConfiguration.Alarms"):
                return "is released without an alarm that would roll it back"
    return None


def _alarms(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        alarms = app.users(function, *_ALARMS)
        if not any(alarm.says("Errors") for alarm in alarms):
            yield Finding(function, "Properties", "has no alarm on its errors")
        elif not any(alarm.get("AlarmActions") for alarm in alarms):
            yield Finding(function, "Properties", "has alarms, and none of them tells anybody")


def _dashboard(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        if not app.users(function, "AWS::CloudWatch::Dashboard"):
            yield Finding(function, "Properties", "is on no dashboard")


def _log_retention(app: Application) -> Iterator[Finding]:
    for group in app.of_type("AWS::Logs::LogGroup"):
        if group.get("RetentionInDays") is None:
            yield Finding(
                group, "Properties/RetentionInDays", "keeps logs, and pays for them, forever"
            )
    for function in app.serving:
        has_group = app.mentioned(function, "LoggingConfig.LogGroup") or app.users(
            function, "AWS::Logs::LogGroup", "Custom::LogRetention"
        )
        if not has_group:
            yield Finding(
                function,
                "Properties/LoggingConfig",
                "logs into a group that Lambda makes, which keeps them forever",
            )


def _tracing(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        if function.get("TracingConfig.Mode") != "Active":
            yield Finding(function, "Properties/TracingConfig", "is not traced")


def _budget(app: Application) -> Iterator[Finding]:
    if not app.of_type("AWS::Budgets::Budget"):
        for function in app.serving:
            yield Finding(function, "Properties", "costs what it costs: the app has no budget")


RULES: Final = (
    Rule(
        "Release",
        Severity.ERROR,
        "A new version gets its traffic step by step, and is rolled back by alarms",
        "release the alias with CodeDeploy, with alarms on the function's errors and latency",
        _release,
    ),
    Rule(
        "Alarms",
        Severity.ERROR,
        "Somebody is told when predictions fail",
        "add an alarm on the alias's errors, with an action such as a topic",
        _alarms,
    ),
    Rule(
        "Dashboard",
        Severity.WARNING,
        "A dashboard shows the function",
        "add one with its errors, latency, concurrency and cold starts",
        _dashboard,
    ),
    Rule(
        "LogRetention",
        Severity.ERROR,
        "Logs expire",
        "give the log group a retention, and the function a log group",
        _log_retention,
    ),
    Rule(
        "Tracing",
        Severity.WARNING,
        "Requests can be followed through the function",
        "set tracing to Active",
        _tracing,
    ),
    Rule(
        "Budget",
        Severity.ERROR,
        "Somebody is told before the bill is",
        "add a budget with a notification (AWS::Budgets::Budget)",
        _budget,
    ),
)
