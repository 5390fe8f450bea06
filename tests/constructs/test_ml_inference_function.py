from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from aws_cdk import CfnParameter, Duration, Size, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Match
from cdk_inference import (
    ConfigurationError,
    InferenceModel,
    MLInferenceFunction,
    Packaging,
)
from cdk_inference.aws.memory import default_memory_mb
from cdk_inference.aws.packaging import lambda_platform
from cdk_inference.context import LOCAL
from cdk_inference.contract import RESERVED_ENVIRONMENT
from cdk_inference.limits import (
    LAMBDA_MEMORY,
    LAMBDA_PYTHON_VERSIONS,
    LAMBDA_RESERVED_ENVIRONMENT,
)
from cdk_inference.memory import least_memory_mb
from cdk_inference.packages import PackageTarget
from cdk_inference.testing import stable_template
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.synthesis import (
    RECOMMENDED_FLAGS,
    construct_ids,
    new_stack,
    only_logical_id,
    only_resource,
    synthesize,
)
from tests.runtime import onnx_models as runtime_models

FLAGS = pytest.mark.parametrize(
    "flags", [{}, RECOMMENDED_FLAGS], ids=["no flags", "recommended flags"]
)


def refusals(stack: Stack, **options: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        MLInferenceFunction(stack, "Scale", **options)
    assert caught.value.where == "Stack/Scale"
    assert construct_ids(stack.node.find_child("Scale")) == []
    return caught.value.problems


def test_minimal_template(stack: Stack, model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    MLInferenceFunction(stack, "Scale", model=model)
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(stack: Stack, model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    function = MLInferenceFunction(
        stack,
        "Scale",
        model=model,
        packaging=Packaging.IMAGE,
        memory_size=Size.gibibytes(3),
        timeout=Duration.minutes(2),
        architecture=lambda_.Architecture.ARM_64,
        base_image="python:3.14-slim",
        ephemeral_storage=Size.gibibytes(1),
        environment={"INFERENCE_THREADS": "1"},
        log_retention=logs.RetentionDays.ONE_YEAR,
        reserved_concurrency=50,
    )
    function.add_http_api("/v1/scale")
    function.grant_invoke(iam.AccountRootPrincipal())
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


@FLAGS
def test_a_zip_holds_code_and_two_layers(model: InferenceModel, flags: dict[str, Any]) -> None:
    stack = new_stack(flags)
    MLInferenceFunction(stack, "Scale", model=model, packaging=Packaging.ZIP)
    template = synthesize(stack)
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "Runtime": "python3.13",
            "Handler": "inference_runtime.adapters.aws_lambda.handler",
            "Code": {"S3Key": Match.string_like_regexp(r"\.zip$")},
            "Layers": [Match.any_value(), Match.any_value()],
            "Architectures": ["x86_64"],
        },
    )
    template.resource_count_is("AWS::Lambda::LayerVersion", 2)


@FLAGS
def test_an_image_has_neither_runtime_nor_layers(
    model: InferenceModel, flags: dict[str, Any]
) -> None:
    stack = new_stack(flags)
    MLInferenceFunction(stack, "Scale", model=model)
    function = only_resource(synthesize(stack), "AWS::Lambda::Function")
    assert function["PackageType"] == "Image"
    assert "ImageUri" in function["Code"]
    assert {"Runtime", "Handler", "Layers"}.isdisjoint(function)


def test_the_environment_is_the_contract_and_the_users_own(
    stack: Stack, model: InferenceModel
) -> None:
    MLInferenceFunction(stack, "Scale", model=model, environment={"INFERENCE_THREADS": "2"})
    function = only_resource(synthesize(stack), "AWS::Lambda::Function")
    assert function["Environment"]["Variables"] == {
        "INFERENCE_THREADS": "2",
        "MODEL_URI": "models/scale/model.onnx",
        "MODEL_NAME": "scale",
        "MODEL_VERSION": "1",
    }


@FLAGS
def test_the_role_may_write_its_logs_and_traces_and_nothing_else(
    model: InferenceModel, flags: dict[str, Any]
) -> None:
    stack = new_stack(flags)
    MLInferenceFunction(stack, "Scale", model=model)
    template = synthesize(stack)
    group = only_logical_id(template, "AWS::Logs::LogGroup")
    (logs_allowed, traces_allowed) = only_resource(template, "AWS::IAM::Policy")["PolicyDocument"][
        "Statement"
    ]
    assert logs_allowed["Resource"] == {"Fn::GetAtt": [group, "Arn"]}
    assert set(logs_allowed["Action"]) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert traces_allowed["Resource"] == "*"
    assert set(traces_allowed["Action"]) == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    assert "ManagedPolicyArns" not in only_resource(template, "AWS::IAM::Role")


def test_logs_go_to_a_group_of_its_own_that_expires(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(stack, "Scale", model=model)
    template = synthesize(stack)
    group = only_logical_id(template, "AWS::Logs::LogGroup")
    template.has_resource(
        "AWS::Logs::LogGroup",
        {"Properties": {"RetentionInDays": 30}, "DeletionPolicy": "RetainExceptOnCreate"},
    )
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {"LoggingConfig": {"LogGroup": {"Ref": group}}, "TracingConfig": {"Mode": "Active"}},
    )


def test_the_alias_live_is_the_newest_version(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(stack, "Scale", model=model)
    template = synthesize(stack)
    version = only_logical_id(template, "AWS::Lambda::Version")
    template.has_resource_properties(
        "AWS::Lambda::Alias",
        {"Name": "live", "FunctionVersion": {"Fn::GetAtt": [version, "Version"]}},
    )


def version_id(model: InferenceModel, flags: dict[str, Any], **options: Any) -> str:
    stack = new_stack(flags)
    MLInferenceFunction(stack, "Scale", model=model, **options)
    return only_logical_id(synthesize(stack), "AWS::Lambda::Version")


@FLAGS
@pytest.mark.parametrize("packaging", Packaging)
def test_a_version_is_published_for_other_content_only(
    model: InferenceModel,
    digits_under_the_same_name: InferenceModel,
    flags: dict[str, Any],
    packaging: Packaging,
) -> None:
    before = version_id(model, flags, packaging=packaging)
    assert version_id(model, flags, packaging=packaging) == before
    assert version_id(digits_under_the_same_name, flags, packaging=packaging) != before
    assert version_id(model, flags, packaging=packaging, memory_size=Size.gibibytes(2)) != before


def test_what_is_given_arrives(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(
        stack,
        "Scale",
        model=model,
        packaging=Packaging.ZIP,
        memory_size=Size.mebibytes(512),
        timeout=Duration.seconds(5),
        ephemeral_storage=Size.mebibytes(600),
        python_version="3.13",
        log_retention=logs.RetentionDays.ONE_WEEK,
    )
    template = synthesize(stack)
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {"MemorySize": 512, "Timeout": 5, "EphemeralStorage": {"Size": 600}},
    )
    template.has_resource_properties("AWS::Logs::LogGroup", {"RetentionInDays": 7})


def test_values_known_only_at_deploy_are_not_checked(stack: Stack, model: InferenceModel) -> None:
    memory = CfnParameter(stack, "Memory", type="Number", default=1769).value_as_number
    secret = Token.as_string({"Ref": "AWS::StackName"}) * 1000
    MLInferenceFunction(
        stack,
        "Scale",
        model=model,
        memory_size=Size.mebibytes(memory),
        environment={"SECRET": secret},
    )
    assert stack.node.find_child("Scale").node.try_find_child("Function") is not None


@given(st.integers(0, 20 * 2**30))
def test_the_default_memory_holds_the_model_and_gives_a_whole_vcpu(size: int) -> None:
    chosen = default_memory_mb(size)
    assert chosen >= 1769
    assert chosen * 2**20 >= 3.5 * size + 256 * 2**20
    assert chosen >= least_memory_mb(size)


def test_memory_follows_the_models_size(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(stack, "Scale", model=replace(model, size_bytes=2**30))
    synthesize(stack).has_resource_properties("AWS::Lambda::Function", {"MemorySize": 3840})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"memory_size": Size.mebibytes(20_480)}, "memory_size is 20480 MB"),
        ({"memory_size": Size.bytes(2**30 + 1)}, "memory_size is 1024.00000095 MB"),
        ({"timeout": Duration.minutes(30)}, "timeout is 1800 seconds"),
        ({"timeout": Duration.millis(1500)}, "timeout is 1.5 seconds"),
        ({"ephemeral_storage": Size.mebibytes(511)}, "ephemeral_storage is 511 MB"),
        ({"python_version": "3.9"}, "python_version is '3.9'"),
        ({"python_version": "3.9", "packaging": Packaging.ZIP}, "python_version is '3.9'"),
        ({"base_image": "python:3", "packaging": Packaging.ZIP}, "base_image is 'python:3'"),
        ({"environment": {"BIG": "x" * 4096}}, "environment has 4160 bytes"),
        ({"reserved_concurrency": 0}, "reserved_concurrency is 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_lambda_does_not_allow_is_refused(
    stack: Stack, model: InferenceModel, options: dict[str, Any], problem: str
) -> None:
    (found,) = refusals(stack, model=model, **options)
    assert found.startswith(problem)


@pytest.mark.parametrize("name", sorted(RESERVED_ENVIRONMENT | LAMBDA_RESERVED_ENVIRONMENT))
def test_variables_of_the_contract_and_of_lambda_are_refused(
    stack: Stack, model: InferenceModel, name: str
) -> None:
    (found,) = refusals(stack, model=model, environment={name: "mine"})
    assert found.startswith(f"environment sets {name}")


def test_all_problems_come_at_once(stack: Stack, model: InferenceModel) -> None:
    problems = refusals(
        stack,
        model=model,
        memory_size=Size.mebibytes(1),
        timeout=Duration.hours(1),
        ephemeral_storage=Size.gibibytes(20),
        python_version="2.7",
        environment={"MODEL_URI": "x", "AWS_REGION": "y"},
    )
    assert len(problems) == 7


def test_less_memory_than_the_model_takes_is_refused(stack: Stack, model: InferenceModel) -> None:
    large = replace(model, size_bytes=600 * 2**20)
    (found,) = refusals(stack, model=large, memory_size=Size.mebibytes(512))
    assert "a model of 600 MB needs 664 at least" in found
    assert "start from 2356" in found


def test_a_model_that_lambda_cannot_hold_is_refused(stack: Stack, model: InferenceModel) -> None:
    (found,) = refusals(stack, model=replace(model, size_bytes=4 * 2**30))
    assert "memory_size is 14592 MB" in found


def test_a_zip_that_is_too_large_is_refused(stack: Stack, model: InferenceModel) -> None:
    large = replace(model, size_bytes=200 * 2**20)
    (found,) = refusals(stack, model=large, packaging=Packaging.ZIP)
    assert found.startswith("the model has 200 MB; packaging=Packaging.ZIP leaves it 1")
    assert "use Packaging.IMAGE" in found


def test_a_lite_zip_differs_in_its_dependencies_alone(model: InferenceModel) -> None:
    def content(packaging: Packaging) -> dict[str, str]:
        stack = new_stack({})
        MLInferenceFunction(stack, "Scale", model=model, packaging=packaging)
        template = synthesize(stack)
        layers = template.find_resources("AWS::Lambda::LayerVersion").values()
        keys = {layer["Properties"]["Description"]: layer for layer in layers}
        found = {name: layer["Properties"]["Content"]["S3Key"] for name, layer in keys.items()}
        function = only_resource(template, "AWS::Lambda::Function")
        return {**found, "code": function["Code"]["S3Key"]}

    lite, full = content(Packaging.LITE), content(Packaging.ZIP)
    assert lite.keys() == full.keys()
    (different,) = (name for name in lite if lite[name] != full[name])
    assert different == "onnxruntime and what else inference_runtime imports"


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (runtime_models.zipmap_classifier(), "'probabilities' is of type seq(map("),
        (runtime_models.sequence_of_tensors(), "'y' is of type seq(tensor("),
        (runtime_models.optional_input(), "'x' is of type optional(tensor("),
    ],
    ids=["maps", "sequence", "optional"],
)
def test_what_a_lite_zip_cannot_serve_is_refused(
    stack: Stack, model: InferenceModel, made: onnx.ModelProto, what: str, tmp_path: Path
) -> None:
    unserved = InferenceModel.from_file(runtime_models.save(made, tmp_path / "model.onnx"))
    of_type, of_pipeline = refusals(
        stack, model=unserved, packaging=Packaging.LITE,
        environment={"INFERENCE_PIPELINE": "mine:Pipeline"},
    )  # fmt: skip
    assert of_type.startswith(f"the model's {what}")
    assert of_pipeline.startswith("environment sets INFERENCE_PIPELINE;")
    (problem,) = refusals(
        new_stack({}), model=model, packaging=Packaging.LITE,
        environment={"INFERENCE_ENGINE": "stock"},
    )  # fmt: skip
    assert problem.startswith("environment sets INFERENCE_ENGINE; Packaging.LITE has neither numpy")


def test_a_lite_zip_serves_strings(stack: Stack, tmp_path: Path) -> None:
    texts = runtime_models.save(runtime_models.shout(), tmp_path / "shout.onnx")
    model = InferenceModel.from_file(texts)
    MLInferenceFunction(stack, "Shout", model=model, packaging=Packaging.LITE)
    only_resource(synthesize(stack), "AWS::Lambda::Function")


@pytest.mark.parametrize("packaging", [Packaging.LITE, Packaging.ZIP])
def test_for_the_emulator_a_zip_stays_what_it_is(
    model: InferenceModel, packaging: Packaging
) -> None:
    stack = new_stack({LOCAL: True})
    platform = lambda_platform(stack, packaging, lambda_.Architecture.X86_64, "3.13")
    assert platform.packaging is packaging


@pytest.mark.parametrize("local", [True, "true"])
def test_for_the_emulator_everything_is_a_zip_for_this_machine(
    model: InferenceModel, local: bool | str
) -> None:
    stack = new_stack({LOCAL: local})
    MLInferenceFunction(stack, "Scale", model=model, packaging=Packaging.IMAGE)
    template = synthesize(stack)
    template.has_resource_properties("AWS::Lambda::Function", {"Runtime": "python3.13"})
    template.resource_count_is("AWS::Lambda::LayerVersion", 2)
    platform = lambda_platform(stack, Packaging.IMAGE, lambda_.Architecture.X86_64, "3.13")
    assert platform.target == PackageTarget.host()


@given(st.sampled_from(["false", False, None]))
def test_any_other_value_of_that_context_changes_nothing(value: object) -> None:
    stack = new_stack({LOCAL: value})
    platform = lambda_platform(stack, Packaging.IMAGE, lambda_.Architecture.X86_64, "3.13")
    assert not platform.local


def test_grant_invoke_allows_the_alias_only(stack: Stack, model: InferenceModel) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model)
    caller = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    assert function.grant_invoke(caller).success
    template = synthesize(stack)
    alias = only_logical_id(template, "AWS::Lambda::Alias")
    template.has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": [
                    Match.object_like(
                        {"Action": "lambda:InvokeFunction", "Resource": {"Ref": alias}}
                    )
                ]
            },
            "Roles": [{"Ref": Match.string_like_regexp("^Caller")}],
        },
    )


@pytest.mark.parametrize("name", ["Invocations", "Errors", "Duration", "Throttles"])
def test_metrics_are_those_of_the_alias(stack: Stack, model: InferenceModel, name: str) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model)
    method = getattr(function, f"metric_{name.lower()}")
    metric = method(statistic="p99", period=Duration.minutes(1))
    assert (metric.metric_name, metric.statistic) == (name, "p99")
    assert set(metric.dimensions) == {"FunctionName", "Resource"}


def test_outputs_are_both_arns(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(stack, "Scale", model=model)
    template = synthesize(stack)
    function = only_logical_id(template, "AWS::Lambda::Function")
    alias = only_logical_id(template, "AWS::Lambda::Alias")
    values = [output["Value"] for output in template.find_outputs("*").values()]
    assert values == [{"Fn::GetAtt": [function, "Arn"]}, {"Ref": alias}]


def test_an_api_with_another_path_tells_the_function(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(stack, "Scale", model=model).add_http_api("/v1/scale")
    function = only_resource(synthesize(stack), "AWS::Lambda::Function")
    assert function["Environment"]["Variables"]["INFERENCE_PREDICT_PATH"] == "/v1/scale"


def test_construct_ids_are_public(stack: Stack, model: InferenceModel) -> None:
    function = MLInferenceFunction(stack, "Scale", model=model, packaging=Packaging.ZIP)
    function.add_http_api()
    assert construct_ids(function) == [
        "LogGroup",
        "Role",
        "DependenciesLayer",
        "ModelLayer",
        "Function",
        "Live",
        "FunctionArn",
        "AliasArn",
        "HttpApi",
    ]


def test_several_functions_share_a_stack(stack: Stack, model: InferenceModel) -> None:
    for name in ("One", "Two"):
        MLInferenceFunction(stack, name, model=model, packaging=Packaging.ZIP).add_http_api()
    template = synthesize(stack)
    keys = {
        layer["Properties"]["Content"]["S3Key"]
        for layer in template.find_resources("AWS::Lambda::LayerVersion").values()
    }
    assert len(keys) == 2


def test_the_default_python_is_one_that_lambda_has() -> None:
    assert "3.13" in LAMBDA_PYTHON_VERSIONS
    assert LAMBDA_MEMORY.minimum <= default_memory_mb(0) <= LAMBDA_MEMORY.maximum
