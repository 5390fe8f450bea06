"""The README's code runs as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk.assertions import Template

ROOT = Path(__file__).resolve().parent.parent
AWS, GOOGLE_CLOUD = re.findall(
    r"^```python\n(.+?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)


def test_the_example_makes_a_function_behind_an_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(AWS, names)

    template = Template.from_stack(names["stack"])
    template.resource_count_is("AWS::Lambda::Function", 1)
    template.has_resource_properties("AWS::ApiGatewayV2::Route", {"RouteKey": "POST /predict"})


def test_the_other_example_makes_a_service_on_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    subprocess.run([sys.executable, "-c", GOOGLE_CLOUD], cwd=tmp_path, check=True)

    document = json.loads((tmp_path / "cdktf.out/stacks/Digits/cdk.tf.json").read_text())
    (service,) = document["resource"]["google_cloud_run_v2_service"].values()
    assert service["template"]["node_selector"] == {"accelerator": "nvidia-l4"}


def test_every_link_leads_to_a_file() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
