"""The repository's own app and its folders, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cdk_inference
import pytest
from cdk_inference.gcp import Bindings
from cdk_inference.gcp.schema import check_document

from tests.constructs.synthesis import ROOT, check_with_cfn_lint, reference_stacks

INVALID = """
import sys, aws_cdk as cdk
app = cdk.App(outdir=sys.argv[1])
stack = cdk.Stack(app, "Stack")
cdk.CfnResource(stack, "Bucket", type="AWS::S3::Bucket", properties={"Nothing": 1})
app.synth()
"""


def python(*arguments: str | Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "CDK_VALIDATION"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=clean | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``cdk synth`` makes of cdk.json's app, with its context and the CDK's validator on."""
    folder = tmp_path_factory.mktemp("assembly")
    settings = json.loads((ROOT / "cdk.json").read_text())
    assert settings["app"] == "python3 app.py"
    python(
        "app.py",
        CDK_OUTDIR=str(folder),
        CDK_CONTEXT_JSON=json.dumps(settings["context"]),
        CDKTF_OUTDIR=str(folder / "cdktf.out"),
    )
    return folder


def test_the_app_has_every_reference_stack(assembly: Path) -> None:
    manifest = json.loads((assembly / "manifest.json").read_text())
    made = {
        name
        for name, artifact in manifest["artifacts"].items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    assert made == {stack.__name__ for stack in reference_stacks()}


def test_the_same_call_synthesizes_google_cloud(assembly: Path) -> None:
    settings = json.loads((ROOT / "cdktf.json").read_text())
    assert (settings["app"], settings["output"]) == ("python3 app.py", "cdktf.out")
    manifest = json.loads((assembly / "cdktf.out" / "manifest.json").read_text())
    assert manifest["stacks"].keys() == {
        "CloudRunStack",
        "CloudRunGpuStack",
        "CloudRunModelsStack",
        "CloudRunNginxStack",
        "CloudRunEdgeStack",
        "CloudRunBatchStack",
        "CloudRunMonitoredStack",
    }
    for stack in manifest["stacks"].values():
        document = json.loads((assembly / "cdktf.out" / stack["synthesizedStackPath"]).read_text())
        assert check_document(document, Bindings.CDKTN) == []


def test_terraform_needs_nothing_but_what_was_synthesized(assembly: Path) -> None:
    stack = assembly / "cdktf.out" / "stacks" / "CloudRunStack"
    document = json.loads((stack / "cdk.tf.json").read_text())
    (image,) = document["resource"]["docker_image"].values()
    context = stack / image["build"]["context"]
    assert (context / "models" / "digits" / "model.onnx").exists()
    assert (context / "Dockerfile").exists()


def test_the_digits_stack_is_a_public_api(assembly: Path) -> None:
    template = json.loads((assembly / "DigitsStack.template.json").read_text())
    outputs = sorted(template["Outputs"])
    assert [name.rstrip("0123456789ABCDEF") for name in outputs] == [
        "DigitsAliasArn",
        "DigitsFunctionArn",
        "DigitsHttpApiUrl",
    ]
    keys = {
        resource["Properties"]["RouteKey"]: resource["Properties"]["AuthorizationType"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::ApiGatewayV2::Route"
    }
    assert keys["POST /predict"] == "NONE"


def test_the_app_passes_cfn_lint(assembly: Path) -> None:
    for template in assembly.glob("*.template.json"):
        check_with_cfn_lint(template.read_text())


def test_nag_readiness_and_the_cdks_validator_find_nothing(assembly: Path) -> None:
    report = json.loads((assembly / "validation-report.json").read_text())
    found = {plugin["pluginName"]: plugin["violations"] for plugin in report["pluginReports"]}
    assert found == {"AwsSolutions": [], "Readiness": []}


def test_the_cdks_validator_would_find_something(tmp_path: Path) -> None:
    # It is in the report only then.
    python("-c", INVALID, str(tmp_path))
    report = json.loads((tmp_path / "validation-report.json").read_text())
    assert [plugin["pluginName"] for plugin in report["pluginReports"]] == [
        "CloudFormation Validate"
    ]


def test_the_app_needs_no_docker(assembly: Path) -> None:
    for assets in assembly.glob("*.assets.json"):
        assert json.loads(assets.read_text())["dockerImages"] == {}


def test_constructs_is_the_package_from_pypi_even_in_this_folder() -> None:
    code = "import sys; sys.path.insert(0, ''); import constructs; print(constructs.__file__)"
    assert "site-packages" in python("-c", code)


def loaded_by(statement: str) -> set[str]:
    """The modules that a statement loads, beyond those of every process (.pth files load some)."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    return set(python("-c", code).split())


def test_the_import_loads_no_cloud_and_no_model() -> None:
    loaded = loaded_by("import cdk_inference")
    assert "cdk_inference" in loaded
    assert {name.split(".")[0] for name in loaded} <= {"cdk_inference"} | sys.stdlib_module_names


def test_the_function_loads_nothing_of_google_and_no_onnx() -> None:
    loaded = loaded_by("from cdk_inference import MLInferenceFunction")
    assert "aws_cdk.aws_lambda" in loaded
    unwanted = ("onnx", "google", "cdktf", "cdktn", "inference_runtime")
    assert [name for name in loaded if name.split(".")[0] in unwanted] == []
    assert [name for name in loaded if name.startswith("cdk_inference.gcp")] == []


def test_every_public_name_can_be_imported() -> None:
    names = [getattr(cdk_inference, name).__name__ for name in cdk_inference.__all__]
    assert names == cdk_inference.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = cdk_inference.Nothing
