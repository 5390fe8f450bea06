from __future__ import annotations

import json

import pytest
from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template
from cdk_inference import (
    ConfigurationError,
    InferenceModel,
    MLInferenceFunction,
    ModelSource,
    S3FilesModelStore,
    S3ModelStore,
)
from cdk_inference.testing import stable_template
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


@pytest.fixture
def store(stack: Stack) -> S3FilesModelStore:
    return S3FilesModelStore(stack, "Files", models=S3ModelStore(stack, "Models"))


def test_minimal_template(
    stack: Stack, store: S3FilesModelStore, snapshot: SnapshotAssertion
) -> None:
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    store = S3FilesModelStore(
        stack,
        "Files",
        models=S3ModelStore(stack, "Models", encryption_key=key),
        vpc=ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=1),
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        mount_path="/mnt/digits",
    )
    MLInferenceFunction(stack, "Scale", model=model, model_source=ModelSource.s3_files(store))
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_each_zone_has_a_mount_target(stack: Stack, store: S3FilesModelStore) -> None:
    template = Template.from_stack(stack)
    targets = template.find_resources("AWS::S3Files::MountTarget").values()
    subnets = [json.dumps(target["Properties"]["SubnetId"]) for target in targets]
    assert len(set(subnets)) == len(store.network.selected()) == 2
    assert only_resource(template, "AWS::S3Files::AccessPoint")["PosixUser"]["Uid"] != "0"


def test_only_the_service_and_this_account_have_the_role(
    stack: Stack, store: S3FilesModelStore
) -> None:
    roles = Template.from_stack(stack).find_resources("AWS::IAM::Role")
    (role,) = (r for name, r in roles.items() if name.startswith("FilesRole"))
    (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "elasticfilesystem.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_large_reads_go_to_the_bucket_and_only_for_the_models_files(
    stack: Stack, store: S3FilesModelStore, model: InferenceModel
) -> None:
    MLInferenceFunction(stack, "Scale", model=model, model_source=ModelSource.s3_files(store))
    template = Template.from_stack(stack)
    functions = template.find_resources("AWS::Lambda::Function")
    (function,) = (f for name, f in functions.items() if name.startswith("Scale"))
    (mounted,) = function["Properties"]["FileSystemConfigs"]
    assert mounted["S3FilesConfig"] == {"DirectS3Read": "ENABLED"}
    policies = template.find_resources("AWS::IAM::Policy")
    (policy,) = (p for name, p in policies.items() if name.startswith("Scale"))
    reads = [
        json.dumps(statement["Resource"])
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] in ("s3:GetObject", "s3:GetObjectVersion")
    ]
    assert len(reads) == 2
    assert all(read.endswith('"/scale/1/model.onnx"]]}') for read in reads)


def test_writers_are_given_more_than_readers(stack: Stack, store: S3FilesModelStore) -> None:
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
    assert store.grant_write(role).success
    template = Template.from_stack(stack)
    policies = template.find_resources("AWS::IAM::Policy")
    (policy,) = (p for name, p in policies.items() if name.startswith("Role"))
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["s3files:ClientMount", "s3files:ClientWrite"]
    assert statement["Resource"] == [
        {"Fn::GetAtt": [only_logical_id(template, "AWS::S3Files::FileSystem"), "FileSystemArn"]},
        {"Fn::GetAtt": [only_logical_id(template, "AWS::S3Files::AccessPoint"), "AccessPointArn"]},
    ]


def test_a_mount_path_that_lambda_does_not_take_is_refused(stack: Stack) -> None:
    models = S3ModelStore(stack, "Models")
    with pytest.raises(ConfigurationError, match="mount_path is '/models'"):
        S3FilesModelStore(stack, "Files", models=models, mount_path="/models")


def test_construct_ids_are_public(store: S3FilesModelStore) -> None:
    assert construct_ids(store) == [
        "Network",
        "Role",
        "FileSystem",
        "SecurityGroup",
        "MountTarget1",
        "MountTarget2",
        "AccessPoint",
    ]
