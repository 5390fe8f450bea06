from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Size, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template
from cdk_inference import (
    AlarmOn,
    AlertTopic,
    ConfigurationError,
    FunctionFacts,
    InferenceAlarm,
    InferenceModel,
    InferenceMonitoring,
    MLInferenceFunction,
    WarmStrategy,
)
from cdk_inference.aws.log_metrics import _REPORT_LINE
from cdk_inference.aws.log_queries import cost_query
from cdk_inference.contract import EMF_NAMESPACE
from cdk_inference.prices import LAMBDA, LAMBDA_REQUEST
from cdk_inference.testing import stable_template
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import (
    RECOMMENDED_FLAGS,
    construct_ids,
    new_stack,
    only_resource,
    synthesize,
)

NewMonitoring = Callable[..., InferenceMonitoring]

ALARM = "AWS::CloudWatch::Alarm"


@pytest.fixture
def monitor(stack: Stack, model: InferenceModel) -> NewMonitoring:
    def new(*, function: dict[str, Any] | None = None, **options: Any) -> InferenceMonitoring:
        served = MLInferenceFunction(stack, "Scale", model=model, **(function or {}))
        return InferenceMonitoring(stack, "Monitoring", function=served, **options)

    return new


def imported(stack: Stack) -> lambda_.IFunction:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:elsewhere"
    return lambda_.Function.from_function_arn(stack, "Imported", arn)


def alarms(stack: Stack) -> dict[str, dict[str, Any]]:
    """The alarms of the template, by what they say."""
    found = Template.from_stack(stack).find_resources(ALARM).values()
    properties = [alarm["Properties"] for alarm in found]
    return {str(alarm["AlarmDescription"]): alarm for alarm in properties}


def queries(stack: Stack) -> dict[str, str]:
    found = Template.from_stack(stack).find_resources("AWS::Logs::QueryDefinition").values()
    return {
        query["Properties"]["Name"].rpartition("/")[2]: query["Properties"]["QueryString"]
        for query in found
    }


def dashboard(stack: Stack) -> list[dict[str, Any]]:
    """The dashboard's widgets, each reference as <logical id>."""
    body = only_resource(Template.from_stack(stack), "AWS::CloudWatch::Dashboard")["DashboardBody"]
    parts = [
        part if isinstance(part, str) else f"<{next(iter(part.values()))}>"
        for part in body["Fn::Join"][1]
    ]
    widgets: list[dict[str, Any]] = json.loads("".join(parts))["widgets"]
    return widgets


def titles(stack: Stack) -> list[str]:
    return [widget["properties"]["title"] for widget in dashboard(stack)]


def test_minimal_template(stack: Stack, snapshot: SnapshotAssertion) -> None:
    InferenceMonitoring(stack, "Monitoring", function=imported(stack))
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    function = MLInferenceFunction.from_alias_arn(
        stack,
        "Theirs",
        "arn:aws:lambda:us-east-1:123456789012:function:elsewhere:live",
        timeout=Duration.seconds(30),
        memory_size=Size.mebibytes(1769),
        reserved_concurrency=20,
    )
    InferenceMonitoring(
        stack,
        "Monitoring",
        function=function,
        topic=AlertTopic(stack, "Alerts", emails=["oncall@example.com"]).topic,
        alarms={
            "LatencyCritical": InferenceAlarm(AlarmOn.LATENCY, 95),
            "ColdStarts": InferenceAlarm(
                AlarmOn.COLD_STARTS, 5, period=Duration.minutes(15), periods=1, periods_to_alarm=1
            ),
            "Spillover": InferenceAlarm(AlarmOn.SPILLOVER, 10),
        },
        emf=True,
    )
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_default_thresholds_are_shares_of_the_functions_own_limits(
    monitor: NewMonitoring, stack: Stack
) -> None:
    monitoring = monitor(
        function={
            "timeout": Duration.seconds(20),
            "memory_size": Size.mebibytes(2000),
            "reserved_concurrency": 50,
        }
    )
    assert list(monitoring.alarms) == ["Errors", "Latency", "Throttles", "Concurrency", "Memory"]
    thresholds = {text: alarm["Threshold"] for text, alarm in alarms(stack).items()}
    assert thresholds == {
        "scale: more than 1 % of the requests failed": 1,
        "scale: the slowest 1 % of the requests took more than 80 % of the timeout": 16_000,
        "scale: more than 0 requests in a period were refused for want of concurrency": 0,
        "scale: more than 80 % of the reserved concurrency was in use": 40,
        "scale: more than 90 % of the memory was in use": 1800,
    }


def test_metrics_are_those_of_the_alias(monitor: NewMonitoring, stack: Stack) -> None:
    monitoring = monitor()
    name = stack.resolve(monitoring.alarms["Latency"].metric.dimensions)["FunctionName"]
    alarm = next(alarm for text, alarm in alarms(stack).items() if "timeout" in text)
    assert alarm["Dimensions"] == [
        {"Name": "FunctionName", "Value": name},
        {"Name": "Resource", "Value": {"Fn::Join": ["", [name, ":live"]]}},
    ]
    assert (alarm["ExtendedStatistic"], alarm["MetricName"]) == ("p99", "Duration")


def test_without_a_reserved_concurrency_there_is_no_alarm_on_it(monitor: NewMonitoring) -> None:
    assert "Concurrency" not in monitor().alarms


def test_a_function_with_a_pool_has_an_alarm_on_spillover(monitor: NewMonitoring) -> None:
    pool = {"warm_strategy": WarmStrategy.provisioned(min=1, max=2)}
    metric = monitor(function=pool).alarms["Spillover"].metric
    assert metric.metric_name == "ProvisionedConcurrencySpilloverInvocations"


def test_it_may_be_in_a_stack_of_its_own(stack: Stack, model: InferenceModel) -> None:
    strategy = WarmStrategy.provisioned(min=1, max=2)
    function = MLInferenceFunction(stack, "Scale", model=model, warm_strategy=strategy)
    other = Stack(App.of(stack), "Other")
    topic = AlertTopic(other, "Alerts").topic
    InferenceMonitoring(other, "Monitoring", function=function, topic=topic)
    assert len(alarms(other)) == 5
    assert other.dependencies == [stack]


def test_alarms_reach_an_encrypted_topic(monitor: NewMonitoring, stack: Stack) -> None:
    monitoring = monitor(topic=AlertTopic(stack, "Alerts").topic)
    template = Template.from_stack(stack)
    assert len(alarms(stack)) == len(monitoring.alarms)
    key = only_resource(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"][1]
    deny, publish = only_resource(template, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    for statement, actions in (
        (publish, "sns:Publish"),
        (key, ["kms:Decrypt", "kms:GenerateDataKey*"]),
    ):
        assert statement["Action"] == actions
        assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        account = statement["Condition"]["StringEquals"]["aws:SourceAccount"]
        assert account == {"Ref": "AWS::AccountId"}


def test_an_imported_function_is_watched_as_far_as_it_is_known(stack: Stack) -> None:
    monitoring = InferenceMonitoring(stack, "Monitoring", function=imported(stack))
    assert list(monitoring.alarms) == ["Errors", "Throttles"]
    (query, *_) = Template.from_stack(stack).find_resources("AWS::Logs::QueryDefinition").values()
    assert query["Properties"]["LogGroupNames"] == ["/aws/lambda/elsewhere"]


def test_what_is_told_of_an_imported_function_is_watched(stack: Stack) -> None:
    log_group = logs.LogGroup.from_log_group_name(stack, "Log", "elsewhere")
    facts = FunctionFacts(
        log_group=log_group,
        timeout=Duration.seconds(10),
        memory_size=Size.mebibytes(1000),
        reserved_concurrency=10,
    )
    InferenceMonitoring(stack, "Monitoring", function=imported(stack), facts=facts)
    assert sorted(alarm["Threshold"] for alarm in alarms(stack).values()) == [0, 1, 8, 900, 8000]
    filter_ = only_resource(Template.from_stack(stack), "AWS::Logs::MetricFilter")
    assert filter_["LogGroupName"] == "elsewhere"


def test_an_imported_alias_is_watched_under_the_names_that_cloudwatch_has(stack: Stack) -> None:
    version = lambda_.Version.from_version_arn(
        stack, "Version", "arn:aws:lambda:us-east-1:123456789012:function:elsewhere:7"
    )
    alias = lambda_.Alias.from_alias_attributes(
        stack, "Alias", alias_name="live", alias_version=version
    )
    monitoring = InferenceMonitoring(stack, "Monitoring", function=alias)
    metric = monitoring.alarms["Throttles"].metric
    assert metric.dimensions == {"FunctionName": "elsewhere", "Resource": "elsewhere:live"}
    (query, *_) = Template.from_stack(stack).find_resources("AWS::Logs::QueryDefinition").values()
    assert query["Properties"]["LogGroupNames"] == ["/aws/lambda/elsewhere"]


def test_an_inference_function_of_another_app_is_watched(stack: Stack) -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:elsewhere:live"
    function = MLInferenceFunction.from_alias_arn(
        stack, "Theirs", arn, timeout=Duration.seconds(10)
    )
    facts = FunctionFacts(memory_size=Size.mebibytes(1000))
    monitoring = InferenceMonitoring(stack, "Monitoring", function=function, facts=facts)
    assert list(monitoring.alarms) == ["Errors", "Latency", "Throttles", "Memory"]
    metric = monitoring.alarms["Throttles"].metric
    assert metric.dimensions == {"FunctionName": "elsewhere", "Resource": "elsewhere:live"}


def test_an_alias_of_the_same_app_is_watched(stack: Stack) -> None:
    function = lambda_.Function(
        stack,
        "Own",
        code=lambda_.Code.from_inline("handler = print"),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )
    alias = lambda_.Alias(stack, "Alias", alias_name="live", version=function.current_version)
    InferenceMonitoring(stack, "Monitoring", function=alias)
    assert len(alarms(stack)) == 2
    synthesize(stack)


def test_the_dashboard_shows_what_was_asked_for(monitor: NewMonitoring, stack: Stack) -> None:
    monitor()
    assert titles(stack) == [
        "Alarms",
        "Requests, errors and throttles",
        "Latency, ms",
        "Requests at the same time",
        "Cold starts, % of requests",
        "INIT by phase, ms",
        "Parts of a request, p99 in ms",
        "Memory used and given, MB",
        "US dollars for each thousand predictions",
        "Provisioned concurrency: spillover, and the share in use",
    ]


def test_no_alarms_leave_no_empty_row(monitor: NewMonitoring, stack: Stack) -> None:
    monitor(alarms=dict.fromkeys(["Errors", "Latency", "Throttles", "Memory"]))
    assert titles(stack)[0] == "Requests, errors and throttles"


def test_the_runtimes_own_metrics_are_searched_by_version(
    monitor: NewMonitoring, stack: Stack
) -> None:
    monitor(emf=True)
    expressions = [
        metric["expression"]
        for widget in dashboard(stack)
        for (metric, *_) in widget["properties"].get("metrics", [])
        if isinstance(metric, dict)
    ]
    search = f'{{{EMF_NAMESPACE},model,model_version}} MetricName="run_ms"'
    assert f"SEARCH('{search}', 'p99', 300)" in expressions


def test_queries_ask_the_log_group_of_the_function(monitor: NewMonitoring, stack: Stack) -> None:
    monitoring = monitor()
    assert len(queries(stack)) == len(monitoring.queries) == 9
    assert queries(stack)["INIT by phase, ms"].splitlines() == [
        'filter message = "ready" or ispresent(@initDuration)',
        "| stats avg(@initDuration) as init_ms, avg(imports_ms) as imports_ms,"
        " avg(load_ms) as load_ms, avg(warm_up_ms) as warm_up_ms by bin(5m)",
    ]


def test_the_cost_is_that_of_the_price_table() -> None:
    *_, stats = cost_query(LAMBDA["arm64"].gb_second).lines
    formula = re.fullmatch(r"stats \((.*)\) / sum\(batch_size\) as dollars by bin\(1h\)", stats)
    assert formula is not None
    # Two requests of a second in 1,024 MB, of 500 rows each, are a thousand predictions.
    dollars = (
        formula[1]
        .replace("count(@billedDuration)", "2")
        .replace("@billedDuration", "1000")
        .replace("@memorySize", "1024000000")
        .replace("sum(", "2 * (")
    )
    expected = 2 * (LAMBDA["arm64"].gb_second + LAMBDA_REQUEST)
    assert eval(dollars) / 1000 == pytest.approx(expected)


def test_memory_is_read_where_lambda_reports_it() -> None:
    line = (
        "REPORT RequestId: 8f507cfc\tDuration: 2.31 ms\tBilled Duration: 91 ms\t"
        "Memory Size: 1769 MB\tMax Memory Used: 136 MB\tInit Duration: 88.01 ms\t"
    )
    columns = dict(zip(_REPORT_LINE, line.split(), strict=False))
    assert (columns['report = "REPORT"'], columns["used"], columns["memory"]) == (
        "REPORT",
        "136",
        "1769",
    )


def test_values_known_at_deploy_only_have_no_alarm(monitor: NewMonitoring, stack: Stack) -> None:
    later = CfnParameter(stack, "Later", type="Number").value_as_number
    monitoring = monitor(
        function={"timeout": Duration.seconds(later), "memory_size": Size.mebibytes(later)}
    )
    assert list(monitoring.alarms) == ["Errors", "Throttles"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"alarms": {"Full": InferenceAlarm(AlarmOn.CONCURRENCY, 80)}},
            "alarm 'Full' is on CONCURRENCY; its threshold is a share of the function's"
            " reserved_concurrency, which is not known here",
        ),
        (
            {"alarms": {"Slow": InferenceAlarm(AlarmOn.LATENCY, 100)}},
            "alarm 'Slow' has the threshold 100; it goes off above that",
        ),
        (
            {"alarms": {"Throttled": InferenceAlarm(AlarmOn.THROTTLES, -1)}},
            "alarm 'Throttled' has the threshold -1",
        ),
        (
            {"alarms": {"Never": InferenceAlarm(AlarmOn.ERRORS, 1, periods=2)}},
            "alarm 'Never' has periods_to_alarm=3 of periods=2",
        ),
        (
            {"alarms": {"Soon": InferenceAlarm(AlarmOn.ERRORS, 1, period=Duration.seconds(90))}},
            "alarm 'Soon' has 5 periods of 1.5 minutes",
        ),
        (
            {"alarms": {"Late": InferenceAlarm(AlarmOn.ERRORS, 1, period=Duration.hours(6))}},
            "alarm 'Late' has 5 periods of 360 minutes",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(
    monitor: NewMonitoring, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        monitor(**options)
    (found,) = caught.value.problems
    assert found.startswith(problem)


def test_an_alarm_takes_the_place_of_that_with_its_name(monitor: NewMonitoring) -> None:
    monitoring = monitor(alarms={"Errors": InferenceAlarm(AlarmOn.ERRORS, 7), "Memory": None})
    assert list(monitoring.alarms) == ["Errors", "Latency", "Throttles"]


def test_a_topic_of_another_app_is_sent_to(monitor: NewMonitoring, stack: Stack) -> None:
    arn = "arn:aws:sns:us-east-1:123456789012:theirs"
    monitor(topic=sns.Topic.from_topic_arn(stack, "Theirs", arn))
    assert {json.dumps(alarm["AlarmActions"]) for alarm in alarms(stack).values()} == {f'["{arn}"]'}


@pytest.mark.parametrize("email", ["oncall", "@example.com", "a@localhost"])
def test_what_is_no_address_is_refused(stack: Stack, email: str) -> None:
    with pytest.raises(ConfigurationError, match="mail addresses"):
        AlertTopic(stack, "Alerts", emails=[email])


def test_construct_ids_are_public(monitor: NewMonitoring, stack: Stack) -> None:
    assert construct_ids(monitor()) == [
        "Alarms",
        "LogMetrics",
        "Queries",
        "Dashboard",
        "DashboardUrl",
    ]
    assert construct_ids(AlertTopic(stack, "Alerts")) == ["Key", "Topic"]
