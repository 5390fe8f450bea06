from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import CfnParameter, Stack
from aws_cdk.assertions import Template
from cdk_inference import (
    ABRouting,
    ConfigurationError,
    GradualRelease,
    InferenceModel,
    MLInferenceFunction,
    ProvisionedWarmPool,
    WarmStrategy,
)
from cdk_inference.aws.log_queries import EXECUTED_VERSIONS
from cdk_inference.testing import stable_template
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from stacks.releases import ABRoutingStack
from tests.constructs.synthesis import (
    construct_ids,
    new_stack,
    only_logical_id,
    only_resource,
    synthesize,
)
from tests.constructs.test_nag import findings

NewRouting = Callable[..., ABRouting]


@pytest.fixture
def new_routing(stack: Stack, model: InferenceModel) -> NewRouting:
    def new(*, function: dict[str, Any] | None = None, **options: Any) -> ABRouting:
        of_function = {"retain_versions": True} | (function or {})
        served = MLInferenceFunction(stack, "Scale", model=model, **of_function)
        options = {"baseline_version": "7", "candidate_weight": 0.1} | options
        return ABRouting(stack, "AB", function=served, **options)

    return new


def alias(template: Template) -> dict[str, Any]:
    return only_resource(template, "AWS::Lambda::Alias")


def test_template(new_routing: NewRouting, stack: Stack, snapshot: SnapshotAssertion) -> None:
    new_routing()
    synthesize(stack)
    resources = stable_template(stack)["Resources"]
    kinds = ("AWS::Lambda::Alias", "AWS::Lambda::Version", "AWS::Logs::QueryDefinition")
    routed = {name: part for name, part in resources.items() if part["Type"] in kinds}
    assert routed == snapshot(extension_class=JSONSnapshotExtension)


def test_the_baseline_keeps_what_the_candidate_does_not_get(
    new_routing: NewRouting, stack: Stack
) -> None:
    new_routing(candidate_weight=0.25)
    template = synthesize(stack)
    candidate = {"Fn::GetAtt": [only_logical_id(template, "AWS::Lambda::Version"), "Version"]}
    assert alias(template)["FunctionVersion"] == "7"
    assert alias(template)["RoutingConfig"] == {
        "AdditionalVersionWeights": [{"FunctionVersion": candidate, "FunctionWeight": 0.25}]
    }


def test_values_known_at_deploy_only(new_routing: NewRouting, stack: Stack) -> None:
    new_routing(
        baseline_version=CfnParameter(stack, "Baseline").value_as_string,
        candidate_weight=CfnParameter(stack, "Weight", type="Number").value_as_number,
    )
    assert alias(synthesize(stack))["FunctionVersion"] == {"Ref": "Baseline"}


def test_versions_stay_and_have_their_number_told(model: InferenceModel) -> None:
    stack = new_stack()
    MLInferenceFunction(stack, "Scale", model=model, retain_versions=True)
    template = synthesize(stack)
    (version,) = template.find_resources("AWS::Lambda::Version").values()
    assert version["DeletionPolicy"] == "Retain"
    (output,) = (
        value
        for name, value in template.find_outputs("*").items()
        if name.startswith("ScaleVersion")
    )
    assert output["Value"]["Fn::GetAtt"][1] == "Version"
    assert output["Description"] == "The version of the function that serves scale 1"


def test_metrics_by_version(new_routing: NewRouting, stack: Stack) -> None:
    routing = new_routing()
    for metric in (
        routing.baseline.metric_invocations(),
        routing.baseline.metric_errors(),
        routing.baseline.metric_duration(),
    ):
        assert metric.dimensions is not None
        assert metric.dimensions["ExecutedVersion"] == "7"
        assert stack.resolve(metric.dimensions["Resource"])["Fn::Join"][1][1] == ":live"
    candidate = routing.candidate.metric_duration(statistic="p99")
    assert candidate.statistic == "p99"
    assert candidate.dimensions is not None
    number = stack.resolve(candidate.dimensions["ExecutedVersion"])
    assert number["Fn::GetAtt"][1] == "Version"


def test_the_report_reads_the_functions_log(new_routing: NewRouting, stack: Stack) -> None:
    new_routing()
    report = only_resource(synthesize(stack), "AWS::Logs::QueryDefinition")
    assert report["Name"] == "Stack/AB/Versions of the function compared"
    (log_group,) = report["LogGroupNames"]
    assert log_group["Ref"].startswith("ScaleLogGroup")
    assert "by executed_version, model_version" in report["QueryString"]


@pytest.mark.parametrize(
    "log_stream",
    [
        "2026/11/22/[7]0123456789abcdef0123456789abcdef",
        "2026/11/22/Stack-ScaleFunction[7]0123456789abcdef0123456789abcdef",
    ],
    ids=["Lambda's log group", "one's own"],
)
def test_the_report_finds_the_version_in_a_log_streams_name(log_stream: str) -> None:
    (pattern,) = re.findall(r"parse @logStream /(.*)/", EXECUTED_VERSIONS.text)
    found = re.search(pattern.replace("(?<", "(?P<"), log_stream)
    assert found is not None
    assert found["executed_version"] == "7"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"baseline_version": "$LATEST"}, "baseline_version is '$LATEST'; an alias splits"),
        ({"baseline_version": "live"}, "baseline_version is 'live'"),
        ({"baseline_version": ""}, "baseline_version is ''"),
        ({"candidate_weight": 0}, "candidate_weight is 0; it is a share above 0 and below 1"),
        ({"candidate_weight": 10}, "candidate_weight is 10"),
        ({"function": {"retain_versions": False}}, "Stack/Scale retains no versions"),
        (
            {"function": {"warm_strategy": WarmStrategy.provisioned(min=1, max=2)}},
            "Stack/Scale has provisioned concurrency; Lambda has none on an alias that is split,"
            " and the second deployment fails; use WarmStrategy.snap_start() or keep_warm(…)",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(
    new_routing: NewRouting, stack: Stack, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        new_routing(**options)
    (found,) = caught.value.problems
    assert found.startswith(problem)
    assert construct_ids(stack.node.find_child("AB")) == []


def test_a_pool_made_afterwards_is_refused_at_synth(new_routing: NewRouting, stack: Stack) -> None:
    function = new_routing().candidate.function
    ProvisionedWarmPool(stack, "Pool", function=function, min_capacity=1, max_capacity=2)
    with pytest.raises(RuntimeError, match="provisioned concurrency and weighted routing"):
        synthesize(stack)


def test_one_split_at_a_time(new_routing: NewRouting, stack: Stack) -> None:
    function: Any = new_routing().candidate.function
    with pytest.raises(ConfigurationError, match="are directed by Stack/AB already"):
        GradualRelease(stack, "Release", function=function)


def test_a_function_of_another_app_is_refused(stack: Stack) -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:digits:live"
    theirs: Any = MLInferenceFunction.from_alias_arn(stack, "Theirs", arn)
    with pytest.raises(ConfigurationError, match="Stack/Theirs was looked up"):
        ABRouting(stack, "AB", function=theirs, baseline_version="7", candidate_weight=0.5)


@given(weight=st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_every_share_is_allowed(weight: float) -> None:
    from cdk_inference.aws.ab_routing import _check_weight
    from cdk_inference.validation import Problems

    problems = Problems("AB")
    _check_weight(weight, problems)
    problems.raise_if_any()


def test_the_reference_stack_splits_once_there_is_a_baseline(tmp_path: Path) -> None:
    before, after = (
        synthesize(ABRoutingStack(new_stack(context).node.root, "ABRoutingStack"))  # type: ignore[arg-type]
        for context in ({}, {"baseline": "1"})
    )
    assert "RoutingConfig" not in alias(before)
    assert alias(after)["FunctionVersion"] == "1"
    assert only_logical_id(before, "AWS::Lambda::Version") != only_logical_id(
        after, "AWS::Lambda::Version"
    )

    def split(app: Any) -> None:
        app.node.set_context("baseline", "1")
        ABRoutingStack(app, "Stack")

    assert findings(tmp_path, split) == []


def test_construct_ids_are_public(new_routing: NewRouting) -> None:
    assert construct_ids(new_routing()) == ["Report"]
