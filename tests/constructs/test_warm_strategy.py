from __future__ import annotations

from typing import Any, cast

import pytest
from aws_cdk import Duration, Size, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from cdk_inference import (
    ConfigurationError,
    InferenceModel,
    KeepWarm,
    MLInferenceFunction,
    Packaging,
    ProvisionedWarmPool,
    WarmStrategy,
)
from cdk_inference.context import LOCAL

from tests.constructs.synthesis import construct_ids, new_stack, only_resource, synthesize


def test_nothing_is_kept_warm_unasked(stack: Stack, model: InferenceModel) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model)
    assert function.warm_strategy == WarmStrategy.none()
    assert function.warm_capacity is None
    assert "SnapStart" not in only_resource(synthesize(stack), "AWS::Lambda::Function")


@pytest.mark.parametrize("packaging", Packaging)
def test_snap_start_takes_snapshots_of_published_versions(
    stack: Stack, model: InferenceModel, packaging: Packaging
) -> None:
    MLInferenceFunction(
        stack, "Scale", model=model, packaging=packaging, warm_strategy=WarmStrategy.snap_start()
    )
    function = only_resource(synthesize(stack), "AWS::Lambda::Function")
    assert function["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert "AWS_LAMBDA_INITIALIZATION_TYPE" not in function["Environment"]["Variables"]


def test_the_emulator_is_told_of_snap_start(model: InferenceModel) -> None:
    stack = new_stack({LOCAL: True})
    MLInferenceFunction(stack, "Scale", model=model, warm_strategy=WarmStrategy.snap_start())
    variables = only_resource(Template.from_stack(stack), "AWS::Lambda::Function")["Environment"]
    assert variables["Variables"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"


@pytest.mark.parametrize(
    ("strategy", "kind", "id"),
    [
        (WarmStrategy.provisioned(min=1, max=2), ProvisionedWarmPool, "WarmPool"),
        (WarmStrategy.keep_warm(environments=1), KeepWarm, "KeepWarm"),
    ],
    ids=["provisioned", "keep warm"],
)
def test_what_keeps_warm_is_the_functions_own(
    stack: Stack, model: InferenceModel, strategy: WarmStrategy, kind: type, id: str
) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model, warm_strategy=strategy)
    assert isinstance(function.warm_capacity, kind)
    assert function.warm_capacity.node.path == f"Stack/Scale/{id}"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"python_version": "3.11"}, "python_version is '3.11'; SnapStart takes 3.12, 3.13, 3.14"),
        ({"ephemeral_storage": Size.mebibytes(513)}, "ephemeral_storage is 513 MB; SnapStart"),
    ],
    ids=["python", "storage"],
)
def test_what_snap_start_does_not_take_is_refused(
    stack: Stack, model: InferenceModel, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MLInferenceFunction(
            stack, "Scale", model=model, warm_strategy=WarmStrategy.snap_start(), **options
        )
    (found,) = caught.value.problems
    assert found.startswith(problem)
    assert found.endswith("or leave WarmStrategy.snap_start() out")


def test_a_file_system_with_snap_start_is_refused_at_synth(
    stack: Stack, model: InferenceModel
) -> None:
    strategy = WarmStrategy.snap_start()
    function = MLInferenceFunction(stack, "Scale", model=model, warm_strategy=strategy)
    arn = "arn:aws:elasticfilesystem:us-east-1:0:access-point/fsap-1"
    cfn_function = cast(lambda_.CfnFunction, function.function.node.default_child)
    cfn_function.file_system_configs = [
        lambda_.CfnFunction.FileSystemConfigProperty(
            arn=arn,
            local_mount_path="/mnt/m",
        )
    ]
    with pytest.raises(RuntimeError, match="file system mounted; SnapStart takes none"):
        Template.from_stack(stack)


@pytest.mark.parametrize(
    ("strategy", "count"),
    [
        (WarmStrategy.provisioned(min=0, max=60, target_utilization=1), 3),
        (WarmStrategy.keep_warm(environments=60, every=Duration.seconds(1)), 3),
    ],
    ids=["provisioned", "keep warm"],
)
def test_a_strategys_problems_are_the_functions(
    stack: Stack, model: InferenceModel, strategy: WarmStrategy, count: int
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MLInferenceFunction(
            stack,
            "Scale",
            model=model,
            warm_strategy=strategy,
            reserved_concurrency=50,
            python_version="2.7",
        )
    assert caught.value.where == "Stack/Scale"
    assert len(caught.value.problems) == count + 1
    assert construct_ids(stack.node.find_child("Scale")) == []
