"""Every example of the documentation runs, and every error that it shows is the one that comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cdk_inference import ConfigurationError

from tests.constructs.synthesis import ROOT

EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<error>.*?)```)?", re.DOTALL)


def examples(page: Path) -> Iterator[tuple[str, str | None]]:
    for match in EXAMPLE.finditer(page.read_text()):
        yield match["code"], match["error"]


def test_the_constructs_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    for code, error in examples(ROOT / "docs" / "constructs.md"):
        if error is None:
            exec(code, names)
            continue
        with pytest.raises(ConfigurationError) as caught:
            exec(code, names)
        for line in error.splitlines():
            assert line in str(caught.value)
    names["test_shop"](names["stable_template"](names["stack"]))
