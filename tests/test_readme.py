"""The README's code runs as it stands there."""

import re
from pathlib import Path

import pytest
from aws_cdk.assertions import Template

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_makes_a_function_behind_an_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    [example] = re.findall(r"^```python\n(.+?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    names: dict[str, object] = {}
    exec(example, names)

    template = Template.from_stack(names["stack"])
    template.resource_count_is("AWS::Lambda::Function", 1)
    template.has_resource_properties("AWS::ApiGatewayV2::Route", {"RouteKey": "POST /predict"})


def test_every_link_leads_to_a_file() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
