"""Traces and Lambda Insights of a function, in a zip and in an image."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from cdk_inference import (
    ConfigurationError,
    InferenceModel,
    MLInferenceFunction,
    Packaging,
    Tracing,
)
from cdk_inference.context import LOCAL

from tests.constructs.synthesis import new_stack, only_resource, synthesize
from tests.constructs.test_nag import findings

NewFunction = Callable[..., MLInferenceFunction]

FUNCTION = "AWS::Lambda::Function"
POLICY = "CloudWatchLambdaInsightsExecutionRolePolicy"


@pytest.fixture
def serve(stack: Stack, model: InferenceModel) -> NewFunction:
    def new(**options: Any) -> MLInferenceFunction:
        defaults = {"model": model, "packaging": Packaging.LITE}
        return MLInferenceFunction(stack, "Scale", **(defaults | options))

    return new


def function(stack: Stack) -> dict[str, Any]:
    return only_resource(Template.from_stack(stack), FUNCTION)


def test_by_default_lambda_traces_and_nothing_is_added(serve: NewFunction, stack: Stack) -> None:
    serve()
    made = function(stack)
    assert made["TracingConfig"] == {"Mode": "Active"}
    assert len(made["Layers"]) == 2
    assert POLICY not in json.dumps(Template.from_stack(stack).to_json())


def test_without_tracing_the_role_sends_no_traces(serve: NewFunction, stack: Stack) -> None:
    serve(tracing=Tracing.OFF)
    assert "TracingConfig" not in function(stack)
    assert "xray:" not in json.dumps(Template.from_stack(stack).to_json())


@pytest.mark.parametrize(
    ("architecture", "name"),
    [(lambda_.Architecture.X86_64, "amd64"), (lambda_.Architecture.ARM_64, "arm64")],
)
def test_adot_is_a_layer_and_a_setting(
    serve: NewFunction, stack: Stack, architecture: lambda_.Architecture, name: str
) -> None:
    serve(tracing=Tracing.ADOT, architecture=architecture)
    made = function(stack)
    assert f":layer:aws-otel-python-{name}-ver-" in json.dumps(made["Layers"][-1])
    assert made["Environment"]["Variables"]["INFERENCE_TRACES"] == "otlp"
    assert made["TracingConfig"] == {"Mode": "Active"}


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        (lambda_.Architecture.X86_64, "LambdaInsightsExtension:"),
        (lambda_.Architecture.ARM_64, "LambdaInsightsExtension-Arm64:"),
    ],
)
def test_the_agent_of_a_zip_is_a_layer_by_region(
    model: InferenceModel, architecture: lambda_.Architecture, name: str
) -> None:
    for region in ("us-east-1", "eu-central-1"):
        stack = cdk.Stack(
            cdk.App(context={"aws:cdk:disable-asset-staging": True}),
            "Stack",
            env=cdk.Environment(account="123456789012", region=region),
        )
        MLInferenceFunction(
            stack,
            "Scale",
            model=model,
            packaging=Packaging.LITE,
            architecture=architecture,
            lambda_insights=True,
        )
        layers = function(stack)["Layers"]
        (agent,) = (layer for layer in layers if isinstance(layer, str))
        assert agent.startswith(f"arn:aws:lambda:{region}:")
        assert f":layer:{name}" in agent
        (managed,) = only_resource(Template.from_stack(stack), "AWS::IAM::Role")[
            "ManagedPolicyArns"
        ]
        assert managed["Fn::Join"][1][-1].endswith(f":iam::aws:policy/{POLICY}")


@pytest.mark.parametrize(
    ("architecture", "package"),
    [
        (lambda_.Architecture.X86_64, "lambda-insights-extension.rpm"),
        (lambda_.Architecture.ARM_64, "lambda-insights-extension-arm64.rpm"),
    ],
)
def test_the_agent_of_an_image_is_built_into_it(
    tmp_path: Path, model: InferenceModel, architecture: lambda_.Architecture, package: str
) -> None:
    app = cdk.App(outdir=str(tmp_path), context={"aws:cdk:disable-asset-staging": True})
    stack = cdk.Stack(app, "Stack")
    MLInferenceFunction(
        stack, "Scale", model=model, architecture=architecture, lambda_insights=True
    )
    app.synth()
    assets = json.loads((tmp_path / "Stack.assets.json").read_text())["dockerImages"]
    (image,) = (asset["source"] for asset in assets.values())
    assert image["dockerBuildArgs"]["INSIGHTS_PACKAGE"].endswith(f"/{package}")
    assert image["dockerBuildArgs"]["INSIGHTS_IMAGE"] == "public.ecr.aws/lambda/provided:al2023"
    dockerfile = (Path(image["directory"]) / "Dockerfile").read_text()
    assert {"ARG INSIGHTS_PACKAGE=", "FROM ${INSIGHTS_IMAGE} AS insights"} <= set(
        dockerfile.splitlines()
    )


def test_everything_at_once_is_clean(tmp_path: Path, model: InferenceModel) -> None:
    def make(app: cdk.App) -> None:
        MLInferenceFunction(
            cdk.Stack(app, "Stack"),
            "Scale",
            model=model,
            packaging=Packaging.LITE,
            tracing=Tracing.ADOT,
            lambda_insights=True,
        )

    assert findings(tmp_path, make) == []


def test_the_emulator_gets_none_of_it(model: InferenceModel) -> None:
    stack = new_stack({LOCAL: "true"})
    MLInferenceFunction(stack, "Scale", model=model, tracing=Tracing.ADOT, lambda_insights=True)
    made = function(stack)
    assert len(made["Layers"]) == 2
    assert "INFERENCE_TRACES" not in made["Environment"]["Variables"]
    synthesize(stack)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"packaging": Packaging.IMAGE},
            "tracing is Tracing.ADOT, and packaging is Packaging.IMAGE",
        ),
        ({"python_version": "3.14"}, "tracing is Tracing.ADOT, and python_version is '3.14'"),
        ({"environment": {"INFERENCE_TRACES": "none"}}, "environment sets INFERENCE_TRACES"),
    ],
    ids=lambda value: value[-30:] if isinstance(value, str) else "",
)
def test_what_adot_does_not_go_with_is_refused(
    serve: NewFunction, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        serve(tracing=Tracing.ADOT, **options)
    (found,) = caught.value.problems
    assert found.startswith(problem)
