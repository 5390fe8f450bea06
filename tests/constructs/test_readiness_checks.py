"""The production-readiness checklist, on this library's constructs and on others'."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduler_targets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from cdk_inference import (
    ApiAuth,
    ConfigurationError,
    InferenceHttpApi,
    InferenceModel,
    MLInferenceFunction,
    ModelSource,
    Packaging,
    ReadinessChecks,
    S3ModelStore,
    StoredModel,
    WarmStrategy,
)
from cdk_inference.context import LOCAL
from cdk_nag import AwsSolutionsChecks

from stacks.digits import DigitsStack
from stacks.monitored import MonitoredStack
from tests.constructs.synthesis import RECOMMENDED_FLAGS, reference_stacks

FLAGS = pytest.mark.parametrize("flags", [{}, RECOMMENDED_FLAGS], ids=["library", "recommended"])


@dataclass(frozen=True)
class Report:
    """What came of a synth with the checklist."""

    failed: bool
    found: list[dict[str, Any]]
    acknowledged: list[dict[str, Any]]

    @property
    def rules(self) -> set[str]:
        return {violation["ruleName"] for violation in self.found}

    def paths(self, rule: str) -> list[str]:
        return [
            construct["constructPath"]
            for violation in self.found
            if violation["ruleName"] == rule
            for construct in violation["violatingConstructs"]
        ]

    def described(self, rule: str) -> str:
        return " ".join(v["description"] for v in self.found if v["ruleName"] == rule)


def check(
    folder: Path, make: Callable[[cdk.App], Any], flags: dict[str, Any] | None = None
) -> Report:
    """The checklist's report on the stacks that ``make`` adds to an app."""
    context = {"aws:cdk:disable-asset-staging": True, **(flags or {})}
    app = cdk.App(outdir=str(folder), context=context)
    cdk.Validations.of(app).add_plugins(ReadinessChecks())
    make(app)
    failed = True
    with suppress(RuntimeError):
        app.synth()
        failed = False
    reports = json.loads((folder / "validation-report.json").read_text())["pluginReports"]
    ours = [report for report in reports if report["pluginName"] == "Readiness"]
    report = ours[0] if ours else {"violations": []}
    assert "error" not in (report.get("metadata") or {}), report["metadata"]
    return Report(failed, report["violations"], report.get("suppressedViolations") or [])


def stack_of(app: cdk.App) -> cdk.Stack:
    return cdk.Stack(app, "Stack")


def served(stack: cdk.Stack, id: str = "Other", **options: Any) -> lambda_.Function:
    """A function that serves a model, made without this library."""
    defaults = {
        "runtime": lambda_.Runtime.PYTHON_3_13,
        "handler": "index.handler",
        "code": lambda_.Code.from_inline("handler = None"),
        "environment": {"MODEL_URI": "models/m/model.onnx"},
    }
    return lambda_.Function(stack, id, **defaults | options)


def bare(app: cdk.App) -> None:
    served(stack_of(app))


def ready(app: cdk.App) -> None:
    """One function with all that the checklist asks for, by other teams' constructs."""
    stack = stack_of(app)
    function = served(
        stack,
        log_group=logs.LogGroup(stack, "Logs", retention=logs.RetentionDays.ONE_MONTH),
        tracing=lambda_.Tracing.ACTIVE,
        reserved_concurrent_executions=10,
    )
    alias = lambda_.Alias(
        stack,
        "Alias",
        alias_name="live",
        version=function.current_version,
        provisioned_concurrent_executions=1,
    )
    alarm = alias.metric_errors().create_alarm(stack, "Errors", threshold=1, evaluation_periods=1)
    alarm.add_alarm_action(cloudwatch_actions.SnsAction(sns.Topic(stack, "OnCall")))
    codedeploy.LambdaDeploymentGroup(stack, "Release", alias=alias, alarms=[alarm])
    cloudwatch.Dashboard(
        stack, "Dashboard", widgets=[[cloudwatch.GraphWidget(left=[alias.metric_duration()])]]
    )
    budgets.CfnBudget(
        stack,
        "Budget",
        budget=budgets.CfnBudget.BudgetDataProperty(budget_type="COST", time_unit="MONTHLY"),
    )


@pytest.mark.parametrize("stack", reference_stacks())
def test_a_reference_stack_is_ready_or_says_why_not(tmp_path: Path, stack: type[cdk.Stack]) -> None:
    report = check(tmp_path, lambda app: stack(app, "Stack"), RECOMMENDED_FLAGS)
    assert report.found == []
    assert all(violation["reason"] for violation in report.acknowledged)


@pytest.mark.parametrize("stack", [DigitsStack, MonitoredStack])
def test_what_the_emulator_lacks_is_no_finding(tmp_path: Path, stack: type[cdk.Stack]) -> None:
    assert check(tmp_path, lambda app: stack(app, "Stack"), {LOCAL: True}).found == []


@FLAGS
def test_a_function_with_everything_has_no_finding(tmp_path: Path, flags: dict[str, Any]) -> None:
    report = check(tmp_path, ready, flags)
    assert report.found == []
    assert not report.failed


def test_a_bare_function_has_one_for_each_line_of_the_list(tmp_path: Path) -> None:
    report = check(tmp_path, bare)
    assert report.rules == {
        "WarmStrategy",
        "ConcurrencyLimit",
        "Release",
        "Alarms",
        "Dashboard",
        "LogRetention",
        "Tracing",
        "Budget",
    }
    assert report.failed


def test_this_librarys_function_lacks_only_what_is_outside_of_it(
    tmp_path: Path, model: InferenceModel
) -> None:
    def make(app: cdk.App) -> None:
        strategy = WarmStrategy.none()
        MLInferenceFunction(
            stack_of(app), "Scale", model=model, packaging=Packaging.ZIP, warm_strategy=strategy
        ).add_http_api()

    report = check(tmp_path, make)
    assert report.rules == {"Release", "Alarms", "Dashboard", "Budget"}
    reasons = {violation["reason"] for violation in report.acknowledged}
    assert reasons == {"asked for by name: WarmStrategy.none()"}


def test_functions_that_serve_no_model_are_left_alone(tmp_path: Path) -> None:
    report = check(tmp_path, lambda app: served(stack_of(app), environment={}))
    assert report.found == []


def test_a_finding_says_what_is_so_and_what_to_do(tmp_path: Path) -> None:
    (finding,) = (v for v in check(tmp_path, bare).found if v["ruleName"] == "Tracing")
    assert finding["severity"] == "warning"
    assert "is not traced" in finding["description"]
    assert finding["suggestedFix"] == "set tracing to Active"
    (construct,) = finding["violatingConstructs"]
    assert construct["constructPath"] == "Stack/Other/Resource"
    assert construct["cloudFormationResource"]["propertyPaths"] == ["Properties/TracingConfig"]


# Acknowledgements


def test_an_acknowledged_rule_is_in_the_report_with_its_reason(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        bare(app)
        ReadinessChecks.acknowledge(app, "Budget", "the account has one")

    report = check(tmp_path, make)
    assert "Budget" not in report.rules
    (acknowledged,) = report.acknowledged
    assert acknowledged["ruleName"] == "Budget"
    assert acknowledged["reason"] == "the account has one"


def test_it_holds_below_the_construct_only(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        served(stack, "Watched")
        ReadinessChecks.acknowledge(served(stack, "Tried"), "Alarms", "it is an experiment")

    assert check(tmp_path, make).paths("Alarms") == ["Stack/Watched/Resource"]


def test_warnings_alone_do_not_fail(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        bare(app)
        for rule in ("Release", "Alarms", "LogRetention", "Budget"):
            ReadinessChecks.acknowledge(app, rule, "not now")

    report = check(tmp_path, make)
    assert report.rules == {"WarmStrategy", "ConcurrencyLimit", "Dashboard", "Tracing"}
    assert not report.failed


def test_an_unknown_rule_or_an_empty_reason_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ReadinessChecks.acknowledge(cdk.App(), "Budgets", " ")
    unknown, empty = caught.value.problems
    assert unknown.startswith("'Budgets' is acknowledged; the rules are MemoryHeadroom, ")
    assert empty.startswith("'Budgets' is acknowledged without a reason")


def test_rule_ids_are_public() -> None:
    assert ReadinessChecks().rule_ids == [
        "MemoryHeadroom",
        "ApiTimeout",
        "WarmStrategy",
        "ConcurrencyLimit",
        "Release",
        "Alarms",
        "Dashboard",
        "LogRetention",
        "Tracing",
        "Budget",
        "DeadLetterQueue",
        "ImageDigest",
        "ImageScan",
        "ModelDigest",
        "PublicAccess",
    ]


def test_it_goes_beside_cdk_nag(tmp_path: Path) -> None:
    app = cdk.App(outdir=str(tmp_path))
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app), ReadinessChecks())
    bare(app)
    with pytest.raises(RuntimeError, match="is not traced"):
        app.synth()
    reports = json.loads((tmp_path / "validation-report.json").read_text())["pluginReports"]
    assert {report["pluginName"] for report in reports} == {"AwsSolutions", "Readiness"}


# Across stacks


@FLAGS
def test_an_api_in_another_stack_is_found(tmp_path: Path, flags: dict[str, Any]) -> None:
    def make(app: cdk.App) -> None:
        function = served(stack_of(app), timeout=cdk.Duration.minutes(1))
        InferenceHttpApi(cdk.Stack(app, "Apis"), "Api", handler=function.current_version)

    report = check(tmp_path, make, flags)
    assert "may take 60 seconds, and the API in front of it waits 30" in report.described(
        "ApiTimeout"
    )
    assert "ConcurrencyLimit" not in report.rules


def test_nested_stacks_are_read_and_refer_both_ways(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        inner = cdk.NestedStack(stack, "Inner")
        outside, inside = served(stack, "Outside"), served(inner, "Inside")
        for scope, function in ((inner, outside), (stack, inside)):
            cloudwatch.Dashboard(
                scope,
                f"{function.node.id}Dashboard",
                widgets=[[cloudwatch.GraphWidget(left=[function.metric_errors()])]],
            )

    report = check(tmp_path, make)
    assert "Dashboard" not in report.rules
    assert report.paths("Tracing") == ["Stack/Outside/Resource", "Stack/Inner/Inside/Resource"]


def test_a_stage_of_its_own_is_read_too(tmp_path: Path) -> None:
    report = check(tmp_path, lambda app: served(cdk.Stack(cdk.Stage(app, "Prod"), "Stack")))
    assert report.paths("Tracing") == ["Prod/Stack/Other/Resource"]


# Line by line


def test_memory_has_headroom_over_the_model(tmp_path: Path, model: InferenceModel) -> None:
    def make(app: cdk.App) -> None:
        large = replace(model, size_bytes=2**30)
        for id, memory in {"Tight": 3_839, "Enough": 3_840}.items():
            MLInferenceFunction(
                cdk.Stack(app, id), id, model=large, memory_size=cdk.Size.mebibytes(memory)
            )

    report = check(tmp_path, make)
    assert report.paths("MemoryHeadroom") == ["Tight/Tight/Function/Resource"]
    assert "a model of 1024 MB serves well in 3840" in report.described("MemoryHeadroom")


@pytest.mark.parametrize(("seconds", "found"), [(29, False), (30, True)])
def test_a_rest_api_waits_for_its_function(tmp_path: Path, seconds: int, found: bool) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        function = served(stack, timeout=cdk.Duration.seconds(seconds))
        apigateway.LambdaRestApi(stack, "Api", handler=function)

    assert ("ApiTimeout" in check(tmp_path, make).rules) == found


@pytest.mark.parametrize(
    "strategy",
    [
        WarmStrategy.snap_start(),
        WarmStrategy.keep_warm(environments=1),
        WarmStrategy.provisioned(min=1, max=2),
    ],
    ids=["snap_start", "keep_warm", "provisioned"],
)
def test_each_warm_strategy_is_seen(
    tmp_path: Path, model: InferenceModel, strategy: WarmStrategy
) -> None:
    def make(app: cdk.App) -> None:
        MLInferenceFunction(stack_of(app), "Scale", model=model, warm_strategy=strategy)

    report = check(tmp_path, make)
    assert "WarmStrategy" not in report.rules
    assert "DeadLetterQueue" not in report.rules


def test_a_release_without_alarms_is_not_enough(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        version = served(stack).current_version
        alias = lambda_.Alias(stack, "Alias", alias_name="live", version=version)
        codedeploy.LambdaDeploymentGroup(stack, "Release", alias=alias)

    described = check(tmp_path, make).described("Release")
    assert "is released without an alarm that would roll it back" in described


def test_an_alarm_has_to_tell_somebody(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        served(stack).metric_errors().create_alarm(
            stack, "Errors", threshold=1, evaluation_periods=1
        )

    assert "none of them tells anybody" in check(tmp_path, make).described("Alarms")


def test_logs_expire(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        logs.LogGroup(stack_of(app), "Logs", retention=logs.RetentionDays.INFINITE)

    assert check(tmp_path, make).paths("LogRetention") == ["Stack/Logs/Resource"]


def asynchronous(app: cdk.App, *, kept: bool) -> None:
    stack = stack_of(app)
    dead = sqs.Queue(stack, "Dead")
    redrive = sqs.DeadLetterQueue(queue=dead, max_receive_count=3) if kept else None
    queue = sqs.Queue(stack, "Queue", dead_letter_queue=redrive)
    function = served(stack, dead_letter_queue=dead if kept else None)
    function.add_event_source(event_sources.SqsEventSource(queue))
    schedule = events.Schedule.rate(cdk.Duration.hours(1))
    target = targets.LambdaFunction(function, dead_letter_queue=dead if kept else None)
    events.Rule(stack, "Rule", schedule=schedule, targets=[target])


def test_what_is_asynchronous_has_a_dead_letter_queue(tmp_path: Path) -> None:
    lost = check(tmp_path / "lost", lambda app: asynchronous(app, kept=False))
    assert sorted(lost.paths("DeadLetterQueue")) == [
        "Stack/Other/Resource",
        "Stack/Queue/Resource",
        "Stack/Rule/Resource",
    ]
    kept = check(tmp_path / "kept", lambda app: asynchronous(app, kept=True))
    assert "DeadLetterQueue" not in kept.rules


def test_other_ways_to_lose_an_event_are_found(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        function = served(stack)
        stream = kinesis.Stream(stack, "Stream")
        start = lambda_.StartingPosition.LATEST
        function.add_event_source(event_sources.KinesisEventSource(stream, starting_position=start))
        topic = sns.Topic(stack, "Topic")
        topic.add_subscription(subscriptions.LambdaSubscription(function))
        scheduler.Schedule(
            stack,
            "Schedule",
            schedule=scheduler.ScheduleExpression.rate(cdk.Duration.hours(1)),
            target=scheduler_targets.LambdaInvoke(function),
        )

    described = check(tmp_path, make).described("DeadLetterQueue")
    for loss in (
        "drops the records of a batch that fails",
        "drops a message that cannot be delivered",
        "drops a start that fails",
        "drops an event after two more attempts",
    ):
        assert loss in described


@pytest.mark.parametrize(
    ("base", "found"), [(None, True), (f"python:3.13-slim@sha256:{'0' * 64}", False)]
)
def test_an_image_is_built_on_a_digest(
    tmp_path: Path, model: InferenceModel, base: str | None, found: bool
) -> None:
    def make(app: cdk.App) -> None:
        MLInferenceFunction(stack_of(app), "Scale", model=model, base_image=base)

    report = check(tmp_path, make)
    assert ("is built on python:3.13-slim" in report.described("ImageDigest")) == found
    assert "ImageScan" in report.rules


@pytest.mark.parametrize(("tag", "found"), [("latest", True), (f"sha256:{'0' * 64}", False)])
def test_an_image_of_a_repository_is_named_by_its_digest(
    tmp_path: Path, tag: str, found: bool
) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        repository = ecr.Repository(stack, "Images", image_scan_on_push=not found)
        served(
            stack,
            code=lambda_.Code.from_ecr_image(repository, tag_or_digest=tag),
            runtime=lambda_.Runtime.FROM_IMAGE,
            handler=lambda_.Handler.FROM_IMAGE,
        )

    report = check(tmp_path, make)
    assert ("ImageDigest" in report.rules) == found
    assert ("ImageScan" in report.rules) == found


def test_scanning_the_registry_scans_all_images(tmp_path: Path, model: InferenceModel) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        MLInferenceFunction(stack, "Scale", model=model)
        ecr.CfnRegistryScanningConfiguration(stack, "Scan", scan_type="BASIC", rules=[])

    assert "ImageScan" not in check(tmp_path, make).rules


@pytest.mark.parametrize(("sha256", "found"), [(None, True), ("7" * 64, False)])
def test_a_stored_model_is_pinned(tmp_path: Path, sha256: str | None, found: bool) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        size = cdk.Size.mebibytes(1)
        MLInferenceFunction(
            stack,
            "Scale",
            model=StoredModel.at("scale/7/model.onnx", size=size, sha256=sha256),
            model_source=ModelSource.s3(S3ModelStore(stack, "Models")),
        )

    assert ("ModelDigest" in check(tmp_path, make).rules) == found


def test_what_is_public_by_accident_is_found(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        function = served(stack)
        function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.NONE)
        function.add_permission("Anyone", principal=iam.AnyPrincipal())
        apigateway.LambdaRestApi(stack, "Rest", handler=function)
        s3.Bucket(
            stack,
            "Bucket",
            block_public_access=s3.BlockPublicAccess(block_public_policy=False),
        )

    paths = check(tmp_path, make).paths("PublicAccess")
    for part in ("FunctionUrl/Resource", "Anyone", "Rest/Default/ANY/Resource", "Bucket/Resource"):
        assert any(path.endswith(part) for path in paths), (part, paths)


def test_what_is_public_by_name_is_acknowledged(tmp_path: Path) -> None:
    def make(app: cdk.App) -> None:
        stack = stack_of(app)
        InferenceHttpApi(stack, "Open", handler=served(stack), auth=ApiAuth.public())
        InferenceHttpApi(stack, "Signed", handler=served(stack, "Second"))

    report = check(tmp_path, make)
    assert "PublicAccess" not in report.rules
    assert [v["ruleName"] for v in report.acknowledged] == ["PublicAccess"] * 2
