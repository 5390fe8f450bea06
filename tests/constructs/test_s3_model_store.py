from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template
from cdk_inference import ConfigurationError, InferenceModel, S3ModelStore
from cdk_inference.testing import stable_template
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.onnx_models import write_sparse
from tests.constructs.synthesis import (
    RECOMMENDED_FLAGS,
    construct_ids,
    new_stack,
    only_resource,
    synthesize,
)

FLAGS = pytest.mark.parametrize(
    "flags", [{}, RECOMMENDED_FLAGS], ids=["no flags", "recommended flags"]
)


def role(stack: Stack) -> iam.Role:
    return iam.Role(stack, "Reader", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))


def test_minimal_template(stack: Stack, snapshot: SnapshotAssertion) -> None:
    S3ModelStore(stack, "Models")
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_template(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    stack = new_stack(RECOMMENDED_FLAGS)
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    store = S3ModelStore(stack, "Models", encryption_key=key)
    store.deploy(model)
    store.grant_read(role(stack), "scale/*")
    synthesize(stack)
    assert stable_template(stack) == snapshot(extension_class=JSONSnapshotExtension)


@FLAGS
def test_both_buckets_are_private_encrypted_and_kept(flags: dict[str, Any]) -> None:
    stack = new_stack(flags)
    S3ModelStore(stack, "Models")
    template = synthesize(stack)
    template.all_resources(
        "AWS::S3::Bucket",
        {
            "Properties": {
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "BucketEncryption": Match.any_value(),
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "LifecycleConfiguration": Match.any_value(),
            },
            "DeletionPolicy": "Retain",
        },
    )
    for policy in template.find_resources("AWS::S3::BucketPolicy").values():
        (refused, *allowed) = policy["Properties"]["PolicyDocument"]["Statement"]
        assert refused["Effect"] == "Deny"
        assert refused["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert [statement["Principal"] for statement in allowed] in (
            [],
            [{"Service": "logging.s3.amazonaws.com"}],
        )
    template.has_resource_properties(
        "AWS::S3::Bucket",
        {
            "VersioningConfiguration": {"Status": "Enabled"},
            "LoggingConfiguration": {
                "DestinationBucketName": {"Ref": Match.string_like_regexp("AccessLogs")}
            },
        },
    )


def test_a_bucket_that_is_there_is_left_as_it_is(stack: Stack, model: InferenceModel) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Existing", "models-of-ours")
    store = S3ModelStore(stack, "Models", bucket=bucket)
    store.deploy(model)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::S3::Bucket", 0)
    assert only_resource(template, "Custom::ModelCopy")["Bucket"] == "models-of-ours"


def test_a_model_is_copied_to_its_place_with_no_more_than_it_takes(
    stack: Stack, model: InferenceModel
) -> None:
    S3ModelStore(stack, "Models").deploy(model)
    template = Template.from_stack(stack)
    (file,) = only_resource(template, "Custom::ModelCopy")["Files"]
    assert file["Key"] == "scale/1/model.onnx"
    assert ".onnx" in json.dumps(file["Source"])
    (_, read, write) = only_resource(template, "AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    assert (read["Action"], write["Action"]) == ("s3:GetObject", "s3:PutObject")
    assert json.dumps(write["Resource"]).endswith('"/scale/1/model.onnx"]]}')
    assert "*" not in json.dumps([read, write])
    function = only_resource(template, "AWS::Lambda::Function")
    assert function["Handler"] == "inference_runtime.adapters.aws_cloudformation.handler"
    assert "Layers" not in function


def test_one_function_copies_all_models_each_once(
    stack: Stack, model: InferenceModel, digits_under_the_same_name: InferenceModel
) -> None:
    store = S3ModelStore(stack, "Models")
    other = replace(digits_under_the_same_name, version="2")
    assert store.deploy(model) is store.deploy(model)
    assert store.deploy(other) is not store.deploy(model)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Lambda::Function", 1)
    template.resource_count_is("Custom::ModelCopy", 2)


def test_other_content_is_copied_again(
    model: InferenceModel, digits_under_the_same_name: InferenceModel
) -> None:
    sources = []
    for content in (model, digits_under_the_same_name):
        stack = new_stack()
        S3ModelStore(stack, "Models").deploy(content)
        sources.append(only_resource(Template.from_stack(stack), "Custom::ModelCopy")["Files"])
    assert sources[0] != sources[1]


def test_two_models_of_one_name_and_version_are_refused(
    stack: Stack, model: InferenceModel, digits_under_the_same_name: InferenceModel
) -> None:
    store = S3ModelStore(stack, "Models")
    store.deploy(model)
    with pytest.raises(ConfigurationError, match="are both version '1' of 'scale'"):
        store.deploy(digits_under_the_same_name)


def test_a_file_that_s3_does_not_copy_is_refused(
    stack: Stack, model: InferenceModel, tmp_path: Path
) -> None:
    large = write_sparse(tmp_path / "weights.bin", 5 * 2**30 + 1)
    with pytest.raises(ConfigurationError, match=r"has 5.0 GB; Amazon S3 copies 5 GB.*StoredModel"):
        S3ModelStore(stack, "Models").deploy(replace(model, files={"weights.bin": large}))


@pytest.mark.parametrize(
    ("paths", "resources"),
    [((), ["/*"]), (("a/*",), ["/a/*"]), (("a/1/model.onnx", "b/*"), ["/a/1/model.onnx", "/b/*"])],
)
def test_readers_are_given_what_is_named(
    stack: Stack, paths: tuple[str, ...], resources: list[str]
) -> None:
    assert S3ModelStore(stack, "Models").grant_read(role(stack), *paths).success
    policy = only_resource(Template.from_stack(stack), "AWS::IAM::Policy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "s3:GetObject"
    given = statement["Resource"]
    arns = given if isinstance(given, list) else [given]
    assert [arn["Fn::Join"][1][1] for arn in arns] == resources


def test_readers_may_use_the_key(stack: Stack) -> None:
    store = S3ModelStore(stack, "Models", encryption_key=kms.Key(stack, "Key"))
    store.grant_read(role(stack))
    statements = only_resource(Template.from_stack(stack), "AWS::IAM::Policy")["PolicyDocument"][
        "Statement"
    ]
    assert [statement["Action"] for statement in statements] == ["kms:Decrypt", "s3:GetObject"]


def test_a_key_for_a_bucket_that_is_there_is_refused(stack: Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Existing", "models-of-ours")
    with pytest.raises(ConfigurationError, match="bucket and encryption_key are both given"):
        S3ModelStore(stack, "Models", bucket=bucket, encryption_key=kms.Key(stack, "Key"))


def test_construct_ids_are_public(stack: Stack, model: InferenceModel) -> None:
    store = S3ModelStore(stack, "Models")
    store.deploy(model)
    assert construct_ids(store) == ["Bucket", "AccessLogs", "Upload"]
    upload = store.node.find_child("Upload")
    assert construct_ids(upload) == ["LogGroup", "Role", "Function", "scale:1"]
    assert construct_ids(upload.node.find_child("scale:1")) == ["model.onnx", "Copy"]
