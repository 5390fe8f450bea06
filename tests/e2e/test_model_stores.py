"""Each place that a function has its model from, as far as the emulator goes: it mounts nothing."""

import json
from pathlib import Path

import pytest
from cdk_inference import InferenceModel
from cdk_inference.local import Deployment, invoke

from tests.e2e.emulated import client

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"
SAMPLE = json.loads((DIGITS / "samples.json").read_text())[3]

# What there is no emulating of, in these stacks.
UNKNOWN = {
    "AWS::DataSync::LocationEFS",
    "AWS::DataSync::LocationS3",
    "AWS::DataSync::Task",
    "AWS::EC2::FlowLog",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::S3Files::AccessPoint",
    "AWS::S3Files::FileSystem",
    "AWS::S3Files::MountTarget",
}


@pytest.fixture(scope="module")
def model() -> InferenceModel:
    return InferenceModel.from_file(DIGITS / "digits.onnx")


def environment(deployment: Deployment, function: str) -> dict[str, str]:
    functions = client(deployment.emulator, "lambda").list_functions()["Functions"]
    (found,) = (f for f in functions if f["FunctionName"].startswith(function))
    return dict(found["Environment"]["Variables"])


def test_a_model_in_a_bucket_reads_a_digit(deployment: Deployment) -> None:
    body = json.dumps({"features": SAMPLE["pixels"]}).encode()
    reply = invoke(deployment.emulator, "S3ModelStack.FetchedAliasArn", body)
    assert reply.json()["predictions"]["label"] == SAMPLE["label"], reply.body
    log = (deployment.emulator.folder / "emulator.log").read_text()
    (fetched,) = (json.loads(line) for line in log.splitlines() if '"model fetched"' in line)
    assert fetched["uri"] == environment(deployment, "S3ModelStack-Fetched")["MODEL_URI"]


def test_the_upload_put_the_very_file_there(deployment: Deployment, model: InferenceModel) -> None:
    uri = environment(deployment, "S3ModelStack-Fetched")["MODEL_URI"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    assert key == f"digits/{model.version}/model.onnx"
    stored = client(deployment.emulator, "s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert stored == model.path.read_bytes()


def test_a_file_system_is_made_as_asked(deployment: Deployment, model: InferenceModel) -> None:
    efs = client(deployment.emulator, "efs")
    (file_system,) = efs.describe_file_systems()["FileSystems"]
    assert (file_system["Encrypted"], file_system["ThroughputMode"]) == (True, "elastic")
    (point,) = efs.describe_access_points()["AccessPoints"]
    assert point["RootDirectory"]["Path"] == "/models"
    targets = efs.describe_mount_targets(FileSystemId=file_system["FileSystemId"])
    assert len(targets["MountTargets"]) == 2
    variables = environment(deployment, "EfsModelStack-Mounted")
    assert variables["MODEL_URI"] == f"/mnt/models/digits/{model.version}/model.onnx"
    assert variables["MODEL_SHA256"] == model.sha256


def test_what_the_emulator_does_not_know_is_left_out(deployment: Deployment) -> None:
    assert {omission.type for omission in deployment.left_out if not omission.needs} >= UNKNOWN
