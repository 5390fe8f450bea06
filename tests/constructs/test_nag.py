"""Every reference stack, and each construct with its defaults, against cdk-nag's AwsSolutions."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sqs as sqs
from cdk_inference import InferenceModel, MLInferenceFunction
from cdk_nag import AwsSolutionsChecks

from tests.constructs.synthesis import RECOMMENDED_FLAGS, reference_stacks


def findings(folder: Path, make: Callable[[cdk.App], Any]) -> list[str]:
    """What cdk-nag has against the stacks that ``make`` adds to an app."""
    context = {"aws:cdk:disable-asset-staging": True, **RECOMMENDED_FLAGS}
    app = cdk.App(outdir=str(folder), context=context)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    make(app)
    with suppress(RuntimeError):  # it fails if there are any; the report lists them
        app.synth()
    (report,) = json.loads((folder / "validation-report.json").read_text())["pluginReports"]
    assert report["pluginName"] == "AwsSolutions"
    return [violation["ruleName"] for violation in report["violations"]]


@pytest.mark.parametrize("stack", reference_stacks())
def test_a_reference_stack_is_clean(tmp_path: Path, stack: type[cdk.Stack]) -> None:
    assert findings(tmp_path, lambda app: stack(app, "Stack")) == []


def test_an_image_behind_an_api_is_clean(tmp_path: Path, model: InferenceModel) -> None:
    def make(app: cdk.App) -> None:
        MLInferenceFunction(cdk.Stack(app, "Stack"), "Scale", model=model).add_http_api()

    assert findings(tmp_path, make) == []


def test_what_users_add_is_found(tmp_path: Path, model: InferenceModel) -> None:
    def make(app: cdk.App) -> None:
        stack = cdk.Stack(app, "Stack")
        function = MLInferenceFunction(stack, "Scale", model=model)
        function.role.add_to_policy(
            cdk.aws_iam.PolicyStatement(actions=["s3:*"], resources=["arn:aws:s3:::mine"])
        )
        sqs.Queue(stack, "Queue")

    found = findings(tmp_path, make)
    assert set(found) == {
        "AwsSolutions-IAM5[Action::s3:*]",
        "AwsSolutions-SQS3",
        "AwsSolutions-SQS4",
    }
