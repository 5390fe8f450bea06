"""Where a function has its model from, and what follows for the function."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Match, Template
from cdk_inference import (
    ConfigurationError,
    EfsModelStore,
    InferenceModel,
    MLInferenceFunction,
    ModelSource,
    Packaging,
    S3FilesModelStore,
    S3ModelStore,
    StoredModel,
    WarmStrategy,
)
from cdk_inference.aws.function_checks import default_ephemeral_storage
from hypothesis import given
from hypothesis import strategies as st

from tests.constructs.onnx_models import save, save_external, scale_model
from tests.constructs.synthesis import (
    construct_ids,
    new_stack,
    only_logical_id,
    only_resource,
    synthesize,
)

STORED = StoredModel.at("scale/7/model.onnx", size=Size.mebibytes(900), sha256="7" * 64)
SOURCES = ["s3", "efs", "s3_files"]


def source(stack: Stack, kind: str, **options: Any) -> ModelSource:
    if kind == "efs":
        return ModelSource.efs(EfsModelStore(stack, "Files", **options))
    models = S3ModelStore(stack, "Models")
    if kind == "s3":
        return ModelSource.s3(models)
    return ModelSource.s3_files(S3FilesModelStore(stack, "Files", models=models, **options))


def function(template: Template) -> dict[str, Any]:
    """The one that serves the model."""
    resources = template.find_resources("AWS::Lambda::Function")
    (found,) = (r for name, r in resources.items() if name.startswith("Scale"))
    return dict(found)


def variables(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = function(Template.from_stack(stack))["Properties"]["Environment"][
        "Variables"
    ]
    return found


def statements(template: Template, role: str = "Scale") -> list[dict[str, Any]]:
    policies = template.find_resources("AWS::IAM::Policy")
    (policy,) = (p for name, p in policies.items() if name.startswith(role))
    found: list[dict[str, Any]] = policy["Properties"]["PolicyDocument"]["Statement"]
    return found


def actions(template: Template) -> set[str]:
    found: set[str] = set()
    for statement in statements(template):
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


def refusals(stack: Stack, **options: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        MLInferenceFunction(stack, "Scale", **options)
    assert construct_ids(stack.node.find_child("Scale")) == []
    return caught.value.problems


# The runtime's variables


def test_a_baked_model_needs_no_digest(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(stack, "Scale", model=model, model_source=ModelSource.baked())
    assert "MODEL_SHA256" not in variables(stack)
    assert variables(stack)["MODEL_URI"] == "models/scale/model.onnx"


def test_a_model_in_a_bucket_is_addressed_by_name_and_version(
    stack: Stack, model: InferenceModel
) -> None:
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, "s3"))
    bucket = only_logical_id_starting(Template.from_stack(stack), "AWS::S3::Bucket", "ModelsBucket")
    found = variables(stack)
    assert found["MODEL_URI"] == {
        "Fn::Join": ["", ["s3://", {"Ref": bucket}, "/scale/1/model.onnx"]]
    }
    assert found["MODEL_SHA256"] == model.sha256


def only_logical_id_starting(template: Template, resource_type: str, start: str) -> str:
    (found,) = (n for n in template.find_resources(resource_type) if n.startswith(start))
    return found


@pytest.mark.parametrize("kind", ["efs", "s3_files"])
def test_a_model_in_a_file_system_is_below_its_mount(
    stack: Stack, model: InferenceModel, kind: str
) -> None:
    given = source(stack, kind, mount_path="/mnt/elsewhere")
    MLInferenceFunction(stack, "Scale", model=model, model_source=given)
    found = variables(stack)
    assert found["MODEL_URI"] == "/mnt/elsewhere/scale/1/model.onnx"
    assert found["MODEL_SHA256"] == model.sha256


@pytest.mark.parametrize("kind", SOURCES)
def test_a_stored_model_is_where_it_says(stack: Stack, kind: str) -> None:
    MLInferenceFunction(stack, "Scale", model=STORED, model_source=source(stack, kind))
    found = variables(stack)
    assert "scale/7/model.onnx" in json.dumps(found["MODEL_URI"])
    assert (found["MODEL_NAME"], found["MODEL_VERSION"]) == ("scale", "7")
    assert found["MODEL_SHA256"] == "7" * 64
    template = synthesize(stack)
    template.resource_count_is("Custom::ModelCopy", 0)


def test_a_stored_model_without_a_digest_is_taken_as_it_is(stack: Stack) -> None:
    model = replace(STORED, sha256=None)
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, "s3"))
    assert "MODEL_SHA256" not in variables(stack)


def test_an_optimised_model_is_pinned_by_its_manifest(stack: Stack, tmp_path: Path) -> None:
    path = save(scale_model(), tmp_path / "model.onnx")
    empty: dict[str, Any] = {"original": {"files": {}}, "served": {"files": {}}}
    (tmp_path / "manifest.json").write_text(json.dumps(empty))
    model = InferenceModel.from_file(path, name="scale", version="1")
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, "s3"))
    assert "MODEL_SHA256" not in variables(stack)
    copied = only_resource(Template.from_stack(stack), "Custom::ModelCopy")["Files"]
    assert [file["Key"] for file in copied] == ["scale/1/model.onnx", "scale/1/manifest.json"]


def test_the_digest_is_not_the_users_where_the_construct_sets_it(
    stack: Stack, model: InferenceModel
) -> None:
    given = {"MODEL_SHA256": "0" * 64}
    (found,) = refusals(stack, model=model, model_source=source(stack, "s3"), environment=given)
    assert found.startswith("environment sets MODEL_SHA256")
    MLInferenceFunction(stack, "Baked", model=model, environment=given)


# What the function is given


@pytest.mark.parametrize("kind", SOURCES)
def test_a_model_elsewhere_is_not_in_the_package(
    stack: Stack, model: InferenceModel, kind: str
) -> None:
    MLInferenceFunction(
        stack,
        "Scale",
        model=replace(model, size_bytes=300 * 2**20),
        model_source=source(stack, kind),
        packaging=Packaging.ZIP,
    )
    template = synthesize(stack)
    layers = template.find_resources("AWS::Lambda::LayerVersion")
    names = sorted(name.removeprefix("Scale")[:10] for name in layers)
    assert names == ["Dependenci"]


def test_the_extension_is_a_layer_of_a_zip(stack: Stack, model: InferenceModel) -> None:
    given = ModelSource.s3(S3ModelStore(stack, "Models"), model_cache=True)
    MLInferenceFunction(stack, "Scale", model=model, model_source=given, packaging=Packaging.ZIP)
    template = Template.from_stack(stack)
    extension = only_logical_id_starting(
        template, "AWS::Lambda::LayerVersion", "ScaleModelCacheExtension"
    )
    assert {"Ref": extension} in function(template)["Properties"]["Layers"]


@pytest.mark.parametrize("model_cache", [True, False])
def test_the_extension_is_built_into_an_image(model: InferenceModel, model_cache: bool) -> None:
    app = App()
    stack = Stack(app, "Stack")
    given = ModelSource.s3(S3ModelStore(stack, "Models"), model_cache=model_cache)
    MLInferenceFunction(stack, "Scale", model=model, model_source=given)
    assets = Path(app.synth().directory, "Stack.assets.json").read_text()
    (image,) = json.loads(assets)["dockerImages"].values()
    arguments = image["source"]["dockerBuildArgs"]
    assert (arguments.get("MODEL_CACHE_EXTENSION") == "inference-model-cache") is model_cache
    folder = Path(app.synth().directory, image["source"]["directory"])
    assert list((folder / "models").iterdir()) == [], "the model is elsewhere"


def test_tmp_is_as_large_as_what_is_fetched(stack: Stack) -> None:
    MLInferenceFunction(stack, "Scale", model=STORED, model_source=source(stack, "s3"))
    assert function(Template.from_stack(stack))["Properties"]["EphemeralStorage"] == {"Size": 964}


@given(st.integers(1, 10 * 2**30))
def test_tmp_always_holds_the_model(size: int) -> None:
    assert default_ephemeral_storage(size).to_bytes() >= max(size, 512 * 2**20)


@pytest.mark.parametrize("kind", ["efs", "s3_files"])
def test_what_is_mounted_takes_no_tmp(stack: Stack, kind: str) -> None:
    MLInferenceFunction(stack, "Scale", model=STORED, model_source=source(stack, kind))
    properties = function(Template.from_stack(stack))["Properties"]
    assert properties["EphemeralStorage"] == {"Size": 512}
    (mounted,) = properties["FileSystemConfigs"]
    assert mounted["LocalMountPath"] == "/mnt/models"
    assert len(properties["VpcConfig"]["SubnetIds"]) == 2


def test_a_function_reads_its_model_and_nothing_else_of_the_bucket(
    stack: Stack, tmp_path: Path
) -> None:
    path = save_external(scale_model(), tmp_path / "scale.onnx")
    model = InferenceModel.from_file(path, version="1")
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, "s3"))
    template = Template.from_stack(stack)
    (read,) = (s for s in statements(template) if s["Action"] == "s3:GetObject")
    assert [arn["Fn::Join"][1][1] for arn in read["Resource"]] == [
        "/scale/1/model.onnx",
        "/scale/1/weights.bin",
    ]


def test_a_function_does_not_start_before_its_model_is_there(
    stack: Stack, model: InferenceModel
) -> None:
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, "s3"))
    template = Template.from_stack(stack)
    assert only_logical_id(template, "Custom::ModelCopy") in function(template)["DependsOn"]


@pytest.mark.parametrize("kind", ["efs", "s3_files"])
def test_a_mount_is_read_only_and_through_the_access_point(
    stack: Stack, model: InferenceModel, kind: str
) -> None:
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, kind))
    template = Template.from_stack(stack)
    found = actions(template)
    service = {"efs": "elasticfilesystem", "s3_files": "s3files"}[kind]
    assert f"{service}:ClientMount" in found
    assert f"{service}:ClientWrite" not in found
    (mount,) = (s for s in statements(template) if s["Action"] == f"{service}:ClientMount")
    assert mount["Resource"] != "*"
    point = {"efs": "AWS::EFS::AccessPoint", "s3_files": "AWS::S3Files::AccessPoint"}[kind]
    assert only_logical_id(template, point) in json.dumps(mount)


NOWHERE = {"CidrIp": "255.255.255.255/32"}


@pytest.mark.parametrize("kind", ["efs", "s3_files"])
def test_only_functions_reach_the_mount_targets_and_beyond_them_only_s3(
    stack: Stack, model: InferenceModel, kind: str
) -> None:
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, kind))
    template = Template.from_stack(stack)
    for rule in ("Ingress", "Egress"):
        properties = only_resource(template, f"AWS::EC2::SecurityGroup{rule}")
        assert (properties["FromPort"], properties["ToPort"]) == (2049, 2049)
    (egress,) = template.find_resources("AWS::EC2::SecurityGroupEgress").values()
    of_function, _ = egress["Properties"]["GroupId"]["Fn::GetAtt"]
    for name, group in template.find_resources("AWS::EC2::SecurityGroup").items():
        (out,) = group["Properties"].get("SecurityGroupEgress", [NOWHERE])
        if name == of_function and kind == "s3_files":
            assert (out["CidrIp"], out["FromPort"], out["ToPort"]) == ("0.0.0.0/0", 443, 443)
        else:
            # A group has no rule that lets everything out as soon as it has another one.
            assert (name == of_function) == (out is NOWHERE)
            assert out["CidrIp"] == "255.255.255.255/32", "the CDK's way to say none"
        assert "SecurityGroupIngress" not in group["Properties"]


@pytest.mark.parametrize("kind", ["efs", "s3_files"])
def test_a_function_waits_for_its_mount_targets_and_their_rules(
    stack: Stack, model: InferenceModel, kind: str
) -> None:
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, kind))
    template = Template.from_stack(stack)
    targets = {"efs": "AWS::EFS::MountTarget", "s3_files": "AWS::S3Files::MountTarget"}[kind]
    waited = set(function(template)["DependsOn"])
    assert waited >= set(template.find_resources(targets))
    assert waited >= set(template.find_resources("AWS::EC2::SecurityGroupEgress"))


# A VPC


def test_a_function_in_a_vpc_reaches_s3_and_may_have_interfaces(
    stack: Stack, model: InferenceModel
) -> None:
    vpc = ec2.Vpc(stack, "Vpc")
    made = MLInferenceFunction(
        stack, "Scale", model=model, model_source=source(stack, "s3"), vpc=vpc
    )
    assert made.network is not None
    assert made.network.vpc is vpc
    template = synthesize(stack)
    assert {"ec2:CreateNetworkInterface", "s3:GetObject"} <= actions(template)
    template.has_resource_properties(
        "AWS::EC2::SecurityGroup",
        {
            "SecurityGroupEgress": [
                Match.object_like({"FromPort": 443, "ToPort": 443, "Description": "Amazon S3"})
            ]
        },
    )


def isolated(stack: Stack, **options: Any) -> ec2.Vpc:
    subnets = [ec2.SubnetConfiguration(name="A", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)]
    return ec2.Vpc(stack, "Vpc", subnet_configuration=subnets, nat_gateways=0, **options)


def test_a_vpc_without_a_way_to_s3_is_refused_at_synth(stack: Stack, model: InferenceModel) -> None:
    MLInferenceFunction(
        stack, "Scale", model=model, model_source=source(stack, "s3"), vpc=isolated(stack)
    )
    with pytest.raises(RuntimeError, match="neither a way out nor an endpoint for Amazon S3"):
        Template.from_stack(stack)


def test_an_endpoint_that_is_added_later_counts(stack: Stack, model: InferenceModel) -> None:
    vpc = isolated(stack)
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, "s3"), vpc=vpc)
    ec2.GatewayVpcEndpoint(
        stack, "Dynamo", vpc=vpc, service=ec2.GatewayVpcEndpointAwsService.DYNAMODB
    )
    with pytest.raises(RuntimeError, match="neither a way out"):
        Template.from_stack(stack)
    ec2.GatewayVpcEndpoint(stack, "S3", vpc=vpc, service=ec2.GatewayVpcEndpointAwsService.S3)
    Template.from_stack(stack)


def test_a_vpc_that_was_looked_up_is_not_judged(stack: Stack, model: InferenceModel) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        availability_zones=["us-east-1a"],
        isolated_subnet_ids=["subnet-1"],
    )
    MLInferenceFunction(stack, "Scale", model=model, model_source=source(stack, "s3"), vpc=vpc)
    Template.from_stack(stack)


# What cannot be


@pytest.mark.parametrize("kind", ["efs", "s3_files"])
def test_a_file_system_and_snap_start_are_refused(
    stack: Stack, model: InferenceModel, kind: str
) -> None:
    (found,) = refusals(
        stack,
        model=model,
        model_source=source(stack, kind),
        warm_strategy=WarmStrategy.snap_start(),
    )
    assert found.startswith("model_source is a mounted file system, and warm_strategy is SnapStart")


def test_a_small_model_from_a_bucket_may_start_from_a_snapshot(
    stack: Stack, model: InferenceModel
) -> None:
    MLInferenceFunction(
        stack,
        "Scale",
        model=model,
        model_source=source(stack, "s3"),
        warm_strategy=WarmStrategy.snap_start(),
    )
    assert "SnapStart" in function(Template.from_stack(stack))["Properties"]


def test_less_tmp_than_the_model_takes_is_refused(stack: Stack) -> None:
    (found,) = refusals(
        stack,
        model=STORED,
        model_source=source(stack, "s3"),
        ephemeral_storage=Size.mebibytes(800),
    )
    assert found == (
        "ephemeral_storage is 800 MB; a model of 900 MB is fetched there; leave it out, and it is"
        " chosen by the model"
    )


def test_a_model_that_tmp_cannot_hold_is_refused(stack: Stack) -> None:
    large = replace(STORED, size_bytes=11 * 2**30)
    problems = refusals(stack, model=large, model_source=source(stack, "s3"))
    assert any(found.startswith("ephemeral_storage is 11328 MB") for found in problems)


def test_a_stored_model_cannot_be_baked(stack: Stack) -> None:
    (found,) = refusals(stack, model=STORED)
    assert found.startswith("model is a StoredModel; ModelSource.baked() needs its files")


def test_a_second_vpc_is_refused(stack: Stack, model: InferenceModel) -> None:
    (found,) = refusals(
        stack, model=model, model_source=source(stack, "efs"), vpc=ec2.Vpc(stack, "Vpc")
    )
    assert found.startswith("vpc is given, and so is a model_source that is mounted")


def test_subnets_without_a_vpc_are_refused(stack: Stack, model: InferenceModel) -> None:
    (found,) = refusals(stack, model=model, vpc_subnets=ec2.SubnetSelection())
    assert found.startswith("vpc_subnets is given without vpc")


# Functions that are not of this library


def plain(stack: Stack, id: str = "Plain", **options: Any) -> lambda_.Function:
    return lambda_.Function(
        stack,
        id,
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
        **options,
    )


def test_any_function_can_mount_a_store(stack: Stack) -> None:
    store = EfsModelStore(stack, "Files")
    store.mount(plain(stack, vpc=store.network.vpc, allow_all_outbound=False))
    properties = only_resource(synthesize(stack), "AWS::Lambda::Function")
    (mounted,) = properties["FileSystemConfigs"]
    assert mounted["LocalMountPath"] == "/mnt/models"


def test_a_function_outside_of_a_vpc_mounts_nothing(stack: Stack) -> None:
    store = EfsModelStore(stack, "Files")
    with pytest.raises(ConfigurationError, match=r"the function is in no VPC.*vpc=store.network"):
        store.mount(plain(stack))


def test_a_function_mounts_one_file_system(stack: Stack) -> None:
    store = EfsModelStore(stack, "Files")
    made = plain(stack, vpc=store.network.vpc)
    store.mount(made)
    with pytest.raises(ConfigurationError, match="Lambda mounts one at most"):
        store.mount(made)


def test_several_functions_share_a_store(stack: Stack, model: InferenceModel) -> None:
    for kind in ("efs", "s3_files"):
        owner = new_stack()
        shared = source(owner, kind)
        for name in ("Scale", "Other"):
            MLInferenceFunction(owner, name, model=model, model_source=shared)
        Template.from_stack(owner).resource_count_is("AWS::Lambda::Alias", 2)
