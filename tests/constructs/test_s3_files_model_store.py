from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import CfnParameter, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template
from cdk_inference import (
    ConfigurationError,
    InferenceModel,
    MLInferenceFunction,
    ModelSource,
    S3FilesModelStore,
    S3ModelStore,
    StoredModel,
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


SECURITY_GROUP = "sg-0123456789abcdef0"
ACCESS_POINT = (
    "arn:aws:s3files:us-east-1:123456789012:file-system/fs-0123456789abcdef0"
    "/access-point/fsap-0123456789abcdef0"
)


def elsewhere(stack: Stack, **options: Any) -> dict[str, Any]:
    """A file system of another team, over its bucket."""
    bucket = s3.Bucket.from_bucket_name(stack, "Bucket", "their-models")
    return {
        "models": S3ModelStore(stack, "Models", bucket=bucket),
        "vpc": ec2.Vpc(stack, "Vpc", max_azs=2),
        "access_point_arn": ACCESS_POINT,
        "security_group": ec2.SecurityGroup.from_security_group_id(
            stack, "Targets", SECURITY_GROUP
        ),
    } | options


def test_a_file_system_that_is_there_already_is_mounted(stack: Stack) -> None:
    store = S3FilesModelStore(stack, "Files", **elsewhere(stack))
    stored = StoredModel.at("scale/7/model.onnx", size=Size.mebibytes(1))
    MLInferenceFunction(stack, "Scale", model=stored, model_source=ModelSource.s3_files(store))
    template = synthesize(stack)
    function = only_resource(template, "AWS::Lambda::Function")
    (mounted,) = function["FileSystemConfigs"]
    assert (mounted["Arn"], mounted["LocalMountPath"]) == (ACCESS_POINT, "/mnt/models")
    assert "s3files:ClientMount" in json.dumps(template.find_resources("AWS::IAM::Policy"))
    (egress,) = template.find_resources("AWS::EC2::SecurityGroupEgress").values()
    (ingress,) = template.find_resources("AWS::EC2::SecurityGroupIngress").values()
    assert egress["Properties"]["DestinationSecurityGroupId"] == SECURITY_GROUP
    assert (ingress["Properties"]["GroupId"], ingress["Properties"]["ToPort"]) == (
        SECURITY_GROUP,
        2049,
    )
    for kind in ("FileSystem", "MountTarget", "AccessPoint"):
        template.resource_count_is(f"AWS::S3Files::{kind}", 0)
    assert construct_ids(store) == []


@pytest.mark.parametrize("is_known", [True, False])
def test_an_access_point_tells_its_file_system(stack: Stack, is_known: bool) -> None:
    arn = ACCESS_POINT if is_known else CfnParameter(stack, "Arn").value_as_string
    store = S3FilesModelStore(stack, "Files", **elsewhere(stack, access_point_arn=arn))
    found = stack.resolve(store.file_system_arn)
    if is_known:
        assert found == ACCESS_POINT.partition("/access-point/")[0]
    else:
        assert found == {"Fn::Select": [0, {"Fn::Split": ["/access-point/", {"Ref": "Arn"}]}]}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"vpc": None}, "access_point_arn and security_group given without vpc"),
        ({"security_group": None}, "access_point_arn and vpc given without security_group"),
        ({"access_point_arn": "fsap-0123"}, "access_point_arn is 'fsap-0123'; an access point of"),
    ],
)
def test_what_does_not_name_one_is_refused(
    stack: Stack, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        S3FilesModelStore(stack, "Files", **elsewhere(stack, **options))
    (found,) = caught.value.problems
    assert found.startswith(problem)


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
