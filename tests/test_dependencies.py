"""docs/dependencies.md says of every dependency why it is there."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
OWN = {"cdk-inference", "inference-runtime"}


def requirements(project: dict[str, Any]) -> Iterator[str]:
    yield from project["build-system"]["requires"]
    yield from project["project"]["dependencies"]
    for extra in project["project"]["optional-dependencies"].values():
        yield from extra
    for group in project.get("dependency-groups", {}).values():
        yield from group


@pytest.mark.parametrize("file", ["pyproject.toml", "runtime/pyproject.toml"])
def test_every_dependency_is_explained(file: str) -> None:
    project = tomllib.loads((ROOT / file).read_text())
    names = {re.split(r"[\[<>=!~; ]", text)[0] for text in requirements(project)} - OWN
    document = (ROOT / "docs" / "dependencies.md").read_text()

    assert {name for name in names if f"`{name}`" not in document} == set()


def test_nothing_is_explained_that_is_no_dependency() -> None:
    document = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {
        name
        for cell in re.findall(r"^\| (?:`\w+` \| )?(`.+?`) \|", document, re.MULTILINE)
        for name in re.findall(r"`([\w-]+)`", cell)
    }
    files = (ROOT / "pyproject.toml", ROOT / "runtime" / "pyproject.toml")
    projects = [tomllib.loads(file.read_text()) for file in files]
    known = {
        re.split(r"[\[<>=!~; ]", text)[0] for project in projects for text in requirements(project)
    }

    assert explained <= known
