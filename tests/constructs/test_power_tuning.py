from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from cdk_inference import ConfigurationError, InferenceModel, MLInferenceFunction, PowerTuning
from cdk_inference.testing import stable_template
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import construct_ids, only_resource, synthesize

NewTuning = Callable[..., PowerTuning]

APPLICATION = "AWS::Serverless::Application"


@pytest.fixture
def tune(stack: Stack, model: InferenceModel) -> NewTuning:
    def new(**options: Any) -> PowerTuning:
        function = MLInferenceFunction(stack, "Scale", model=model)
        payload = {"features": [1.0, 0.5]}
        return PowerTuning(
            stack, "Tuning", **({"function": function, "payload": payload} | options)
        )

    return new


def command(stack: Stack, output: str) -> list[str]:
    """An output's words, as a shell splits them, each reference as <…>."""
    (value,) = (
        found["Value"]
        for name, found in Template.from_stack(stack).find_outputs("*").items()
        if name.startswith(f"Tuning{output}")
    )
    parts = [p if isinstance(p, str) else f"<{json.dumps(p)}>" for p in value["Fn::Join"][1]]
    return shlex.split("".join(p.replace('"', "") if p.startswith("<") else p for p in parts))


def request(stack: Stack, output: str = "TuneCommand") -> dict[str, Any]:
    words = command(stack, output)
    assert words[:3] == ["aws", "stepfunctions", "start-execution"]
    found: dict[str, Any] = json.loads(words[words.index("--input") + 1])
    return found


def test_template(stack: Stack, snapshot: SnapshotAssertion) -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:elsewhere:live"
    theirs = MLInferenceFunction.from_alias_arn(stack, "Theirs", arn)
    PowerTuning(stack, "Tuning", function=theirs, payload={"features": [1.0]})
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_it_may_touch_this_function_only(tune: NewTuning, stack: Stack) -> None:
    tune()
    parameters = only_resource(Template.from_stack(stack), APPLICATION)["Parameters"]
    (function,) = Template.from_stack(stack).find_resources("AWS::Lambda::Function")
    arn = {"Fn::GetAtt": [function, "Arn"]}
    assert parameters["lambdaResource"] == {"Fn::Join": ["", [arn, "*"]]}


def test_the_command_measures_the_function_with_the_payload(tune: NewTuning, stack: Stack) -> None:
    tune(memory_sizes_mb=[512, 1769], invocations=20)
    sent = request(stack)
    assert sent["lambdaARN"].startswith("<{Fn::GetAtt: [Scale")
    assert sent["powerValues"] == [512, 1769]
    assert (sent["num"], sent["payload"]) == (20, {"features": [1.0, 0.5]})
    assert "onlyColdStarts" not in sent
    assert request(stack, "TuneColdStartsCommand")["onlyColdStarts"] is True


def test_a_quote_in_the_payload_does_not_end_the_command(tune: NewTuning, stack: Stack) -> None:
    payload = {"features": ["it's; rm -rf /"]}
    tune(payload=payload)
    assert request(stack)["payload"] == payload


def test_sizes_are_those_that_the_model_fits(
    stack: Stack, model: InferenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model)
    monkeypatch.setattr("cdk_inference.aws.power_tuning.least_memory_mb", lambda _: 3_000)
    PowerTuning(stack, "Tuning", function=function, payload={})
    parameters = only_resource(Template.from_stack(stack), APPLICATION)["Parameters"]
    assert parameters["PowerValues"] == "3538,5307,7076,8845,10240"


def test_a_function_of_another_app(stack: Stack) -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:elsewhere"
    theirs = MLInferenceFunction.from_alias_arn(stack, "Theirs", f"{arn}:live")
    PowerTuning(stack, "Tuning", function=theirs, payload={})
    plain = lambda_.Function.from_function_arn(stack, "Plain", arn)
    PowerTuning(stack, "Other", function=plain, payload={})
    applications = Template.from_stack(stack).find_resources(APPLICATION).values()
    resources = [a["Properties"]["Parameters"]["lambdaResource"] for a in applications]
    assert resources == [f"{arn}*", f"{arn}*"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"memory_sizes_mb": [512, 20_480]}, "memory_sizes_mb is 20480 MB; AWS Lambda allows"),
        ({"memory_sizes_mb": [512]}, "memory_sizes_mb has 1 sizes; it takes 2 to compare"),
        ({"invocations": 4}, "invocations is 4; AWS Lambda Power Tuning takes 5"),
        ({"payload": {"features": "x" * 5000}}, "payload has 5016 bytes in JSON"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(
    tune: NewTuning, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tune(**options)
    (found,) = caught.value.problems
    assert found.startswith(problem)


def test_a_size_that_the_model_does_not_fit_is_refused(
    tune: NewTuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdk_inference.aws.power_tuning.least_memory_mb", lambda _: 129)
    with pytest.raises(ConfigurationError, match="the model needs 129 MB at least"):
        tune(memory_sizes_mb=[128, 512, 1024])


def test_construct_ids_are_public(tune: NewTuning) -> None:
    assert construct_ids(tune()) == ["Application", "TuneCommand", "TuneColdStartsCommand"]
