"""What users get: both wheels, in an environment without this checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import uv

from tests.constructs.onnx_models import save, scale_model
from tests.constructs.synthesis import ROOT

APP = """
import aws_cdk as cdk
from cdk_inference import InferenceModel, MLInferenceFunction, Packaging
app = cdk.App()
model = InferenceModel.from_file("mine.onnx")
MLInferenceFunction(cdk.Stack(app, "Mine"), "Mine", model=model, packaging=Packaging.{packaging})
app.synth()
"""

IMPORTED_FROM = """
import json, sys, cdk_inference, inference_runtime
from cdk_inference.runtime_files import runtime_folder
files = [cdk_inference.__file__, inference_runtime.__file__, str(runtime_folder())]
print(json.dumps([files, sys.path]))
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder but for the user's model, and .venv/ with only the two wheels in it.

    Third-party packages come from this environment's site-packages. As an entry of a .pth file
    that folder is not searched for .pth files itself, such as those of the editable installs.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    uv_bin = uv.find_uv_bin()
    wheels = tmp_path_factory.mktemp("dist")
    build = [uv_bin, "build", "--quiet", "--offline", "--all-packages", "--wheel"]
    subprocess.run([*build, "--out-dir", wheels], cwd=ROOT, check=True)
    environment = folder / ".venv"
    subprocess.run([uv_bin, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    install = [uv_bin, "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run(
        [*install, "--python", environment / "bin" / "python", *wheels.glob("*.whl")], check=True
    )
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "third_party.pth").write_text(sysconfig.get_path("purelib"))
    save(scale_model(), folder / "mine.onnx")
    return folder


def python(folder: Path, code: str) -> str:
    return subprocess.run(
        [folder / ".venv" / "bin" / "python", "-c", code],
        cwd=folder,
        env={**os.environ, "CDK_OUTDIR": str(folder / "cdk.out"), "CDK_VALIDATION": "false"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def test_everything_is_imported_from_the_wheels(elsewhere: Path) -> None:
    files, path = json.loads(python(elsewhere, IMPORTED_FROM))
    site_packages = next(elsewhere.glob(".venv/lib/python*/site-packages"))
    assert files == [
        str(site_packages / "cdk_inference" / "__init__.py"),
        str(site_packages / "inference_runtime" / "__init__.py"),
        str(site_packages / "cdk_inference" / "_runtime"),
    ]
    checkout = {str(ROOT), str(ROOT / "constructs"), str(ROOT / "runtime")}
    assert checkout.isdisjoint(path)


@pytest.mark.parametrize("packaging", ["ZIP", "IMAGE"])
def test_a_five_line_app_synthesizes(elsewhere: Path, packaging: str) -> None:
    shutil.rmtree(elsewhere / "cdk.out", ignore_errors=True)
    python(elsewhere, APP.format(packaging=packaging))
    assets = json.loads((elsewhere / "cdk.out" / "Mine.assets.json").read_text())
    # The template itself is a file asset too.
    assert len(assets["files"]) == (4 if packaging == "ZIP" else 1)
    assert len(assets["dockerImages"]) == (0 if packaging == "ZIP" else 1)


def test_an_image_is_built_from_the_wheels_runtime_and_the_users_model(elsewhere: Path) -> None:
    python(elsewhere, APP.format(packaging="IMAGE"))
    (dockerfile,) = elsewhere.glob("cdk.out/asset.*/Dockerfile")
    context = dockerfile.parent
    model = context / "models" / "mine" / "model.onnx"
    assert model.read_bytes() == (elsewhere / "mine.onnx").read_bytes()
    handler = Path("inference_runtime", "adapters", "aws_lambda.py")
    assert (context / handler).read_bytes() == (ROOT / "runtime" / handler).read_bytes()
