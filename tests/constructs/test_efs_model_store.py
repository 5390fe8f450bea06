from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template
from cdk_inference import (
    ConfigurationError,
    EfsModelLoader,
    EfsModelStore,
    InferenceModel,
    MLInferenceFunction,
    ModelSource,
    PrivateNetwork,
    S3ModelStore,
)
from cdk_inference.testing import stable_template
from hypothesis import assume, given
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


def loader(stack: Stack, **options: Any) -> EfsModelLoader:
    return EfsModelStore(stack, "Files").load_from(S3ModelStore(stack, "Models"), **options)


def role(stack: Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))


def test_minimal_template(stack: Stack, snapshot: SnapshotAssertion) -> None:
    EfsModelStore(stack, "Files")
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    vpc = ec2.Vpc(stack, "Vpc")
    store = EfsModelStore(
        stack,
        "Files",
        vpc=vpc,
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        encryption_key=kms.Key(stack, "Key", enable_key_rotation=True),
        mount_path="/mnt/digits",
    )
    store.load_from(S3ModelStore(stack, "Models"), prefix="digits/", every=Duration.hours(12))
    MLInferenceFunction(stack, "Scale", model=model, model_source=ModelSource.efs(store))
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_it_is_encrypted_backed_up_kept_and_paid_by_the_byte(stack: Stack) -> None:
    EfsModelStore(stack, "Files")
    Template.from_stack(stack).has_resource(
        "AWS::EFS::FileSystem",
        {
            "Properties": {
                "Encrypted": True,
                "ThroughputMode": "elastic",
                "BackupPolicy": {"Status": "ENABLED"},
                "LifecyclePolicies": [
                    {"TransitionToIA": "AFTER_30_DAYS"},
                    {"TransitionToPrimaryStorageClass": "AFTER_1_ACCESS"},
                ],
            },
            "DeletionPolicy": "Retain",
        },
    )


@pytest.mark.parametrize("flags", [{}, RECOMMENDED_FLAGS], ids=["no flags", "recommended flags"])
def test_the_file_system_itself_allows_nobody_anything(flags: dict[str, Any]) -> None:
    stack = new_stack(flags)
    EfsModelStore(stack, "Files")
    (statement,) = only_resource(Template.from_stack(stack), "AWS::EFS::FileSystem")[
        "FileSystemPolicy"
    ]["Statement"]
    assert statement == {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


@pytest.mark.parametrize(
    ("grant", "actions"),
    [("grant_read", ["ClientMount"]), ("grant_write", ["ClientMount", "ClientWrite"])],
)
def test_grants_are_for_the_access_point_alone(
    stack: Stack, grant: str, actions: list[str]
) -> None:
    store = EfsModelStore(stack, "Files")
    assert getattr(store, grant)(role(stack)).success
    template = Template.from_stack(stack)
    policies = template.find_resources("AWS::IAM::Policy")
    (policy,) = (p for name, p in policies.items() if name.startswith("Role"))
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    given = statement["Action"]
    assert (given if isinstance(given, list) else [given]) == [
        f"elasticfilesystem:{action}" for action in actions
    ]
    file_system = only_logical_id(template, "AWS::EFS::FileSystem")
    assert statement["Resource"] == {"Fn::GetAtt": [file_system, "Arn"]}
    assert only_logical_id(template, "AWS::EFS::AccessPoint") in json.dumps(statement["Condition"])


def test_its_own_network_costs_nothing_and_leads_nowhere_but_to_s3(stack: Stack) -> None:
    store = EfsModelStore(stack, "Files")
    template = Template.from_stack(stack)
    assert len(store.network.selected()) == 2
    for costly in ("AWS::EC2::NatGateway", "AWS::EC2::InternetGateway"):
        template.resource_count_is(costly, 0)
    endpoint = only_resource(template, "AWS::EC2::VPCEndpoint")
    assert endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["ServiceName"]["Fn::Join"][1][-1] == ".s3"
    assert only_resource(template, "AWS::EC2::FlowLog")["TrafficType"] == "REJECT"
    template.resource_count_is("AWS::Lambda::Function", 0)


def test_stores_share_a_network(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network")
    for name in ("One", "Two"):
        EfsModelStore(stack, name, vpc=network.vpc)
    Template.from_stack(stack).resource_count_is("AWS::EC2::VPC", 1)


# Loading


def test_a_bucket_is_copied_every_hour_and_nothing_is_deleted(stack: Stack) -> None:
    loader(stack)
    template = Template.from_stack(stack)
    task = only_resource(template, "AWS::DataSync::Task")
    assert task["Schedule"] == {"ScheduleExpression": "rate(1 hour)", "Status": "ENABLED"}
    assert task["Options"]["PreserveDeletedFiles"] == "PRESERVE"
    assert "Includes" not in task
    target = only_resource(template, "AWS::DataSync::LocationEFS")
    assert target["InTransitEncryption"] == "TLS1_2"
    assert {"AccessPointArn", "FileSystemAccessRoleArn"} <= target.keys()


def test_a_folder_is_copied_to_the_same_place(stack: Stack) -> None:
    loader(stack, prefix="digits/", every=Duration.days(1))
    template = synthesize(stack)
    task = only_resource(template, "AWS::DataSync::Task")
    assert task["Includes"] == [{"FilterType": "SIMPLE_PATTERN", "Value": "/digits/*"}]
    assert task["Schedule"]["ScheduleExpression"] == "rate(1 day)"
    assert '"/digits/*"' in source_policy(template)


def source_policy(template: Template) -> str:
    policies = template.find_resources("AWS::IAM::Policy")
    (policy,) = (p for name, p in policies.items() if "SourceRole" in name)
    return json.dumps(policy)


def test_datasync_reads_the_bucket_and_writes_through_the_access_point(stack: Stack) -> None:
    loader(stack)
    template = Template.from_stack(stack)
    assert "s3:PutObject" not in source_policy(template)
    policies = template.find_resources("AWS::IAM::Policy")
    (target,) = (p for name, p in policies.items() if "TargetRole" in name)
    (statement,) = target["Properties"]["PolicyDocument"]["Statement"]
    assert "elasticfilesystem:AccessPointArn" in statement["Condition"]["StringEquals"]
    for name, found in template.find_resources("AWS::IAM::Role").items():
        if "Loader" in name:
            (trust,) = found["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            assert trust["Principal"] == {"Service": "datasync.amazonaws.com"}
            assert "aws:SourceAccount" in trust["Condition"]["StringEquals"]


def test_whoever_cannot_wait_is_told_how(stack: Stack) -> None:
    loader(stack)
    outputs = Template.from_stack(stack).find_outputs("*")
    (command,) = (o["Value"] for name, o in outputs.items() if "StartCommand" in name)
    assert command["Fn::Join"][1][0] == "aws datasync start-task-execution --task-arn "


@given(st.integers(1, 5000).filter(lambda minutes: minutes % 60))
def test_an_interval_in_parts_of_hours_is_refused(minutes: int) -> None:
    with pytest.raises(ConfigurationError, match=f"every is {minutes} minutes"):
        EfsModelLoader(
            new_stack(), "Loader", source=None, target=None, every=Duration.minutes(minutes)
        )


@pytest.mark.parametrize("prefix", ["digits", "/digits/", "a b/", "digits/*"])
def test_a_prefix_that_is_no_folder_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=r"prefix is .*give a folder such as 'digits/'"):
        EfsModelLoader(new_stack(), "Loader", source=None, target=None, prefix=prefix)


@given(st.text(max_size=20))
def test_a_mount_path_that_lambda_does_not_take_is_refused(name: str) -> None:
    assume(not re.fullmatch(r"[A-Za-z0-9_.-]+", name))
    with pytest.raises(ConfigurationError) as caught:
        EfsModelStore(new_stack(), "Files", mount_path=f"/mnt/{name}")
    assert str(caught.value).startswith("Stack/Files: mount_path is ")


def test_subnets_without_a_vpc_are_refused(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match="vpc_subnets is given without vpc"):
        EfsModelStore(stack, "Files", vpc_subnets=ec2.SubnetSelection())


def test_construct_ids_are_public(stack: Stack) -> None:
    made = loader(stack)
    assert construct_ids(made.node.scope) == ["Network", "SecurityGroup", "FileSystem", "Loader"]
    assert construct_ids(made) == [
        "SourceRole",
        "Source",
        "TargetRole",
        "SecurityGroup",
        "Target",
        "Task",
        "StartCommand",
    ]


def existing(stack: Stack) -> dict[str, Any]:
    """A file system of another team, as it is looked up."""
    vpc = ec2.Vpc(stack, "Vpc", nat_gateways=0)
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123456789abcdef0")
    return {
        "vpc": vpc,
        "file_system": efs.FileSystem.from_file_system_attributes(
            stack, "Theirs", file_system_id="fs-0123456789abcdef0", security_group=group
        ),
        "access_point": efs.AccessPoint.from_access_point_id(
            stack, "Point", "fsap-0123456789abcdef0"
        ),
    }


def test_a_file_system_that_is_there_already_is_mounted(
    stack: Stack, model: InferenceModel
) -> None:
    store = EfsModelStore(stack, "Store", **existing(stack))
    MLInferenceFunction(stack, "Scale", model=model, model_source=ModelSource.efs(store))
    template = synthesize(stack)
    template.resource_count_is("AWS::EFS::FileSystem", 0)
    template.resource_count_is("AWS::EFS::AccessPoint", 0)
    mounted = only_resource(template, "AWS::Lambda::Function")["FileSystemConfigs"]
    assert "access-point/fsap-0123456789abcdef0" in json.dumps(mounted)
    policy = json.dumps(template.find_resources("AWS::IAM::Policy"))
    assert "file-system/fs-0123456789abcdef0" in policy
    assert "ClientWrite" not in policy


@pytest.mark.parametrize("missing", ["vpc", "file_system", "access_point"])
def test_a_part_of_what_is_there_already_is_refused(stack: Stack, missing: str) -> None:
    given = {name: value for name, value in existing(stack).items() if name != missing}
    with pytest.raises(ConfigurationError, match=f"given without {missing};"):
        EfsModelStore(stack, "Store", **given)


def test_a_key_for_what_is_there_already_is_refused(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match="it has its own"):
        EfsModelStore(stack, "Store", encryption_key=kms.Key(stack, "Key"), **existing(stack))
