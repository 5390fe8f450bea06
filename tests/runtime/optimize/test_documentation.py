"""docs/models.md says nothing of `optimize` that is not so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from inference_runtime.cli.main import main
from inference_runtime.manifest import DIGEST_UP_TO_BYTES
from inference_runtime.optimize.choice import Tolerance
from inference_runtime.optimize.recipes import RECIPES

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "models.md").read_text()
SECTION = DOCUMENT[DOCUMENT.index("## Bringing a model") :]


def test_every_candidate_is_described_in_the_order_of_safety() -> None:
    table = SECTION[SECTION.index("### Candidates") :].partition("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(RECIPES)


def test_every_option_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("optimize", "serve", "fetch"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    commands = re.findall(r"^inference-runtime.*(?:\n    .*)*", SECTION, re.MULTILINE)
    named = " ".join(commands) + " ".join(re.findall(r"`(--[^`]+)`", SECTION))
    assert set(re.findall(r"--[a-z][a-z-]+", named)) <= options


def test_the_defaults_are_those_of_the_code() -> None:
    assert f"({Tolerance().max_error:g} by default)" in SECTION
    assert f"({Tolerance().min_agreement:g} by default)" in SECTION
    assert f"up to {DIGEST_UP_TO_BYTES >> 20} MB" in SECTION


def test_the_commands_on_the_demo_s_model_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    command = re.search(
        r"^inference-runtime (optimize models/digits.*\n.*)$", SECTION, re.MULTILINE
    )
    assert command is not None
    arguments = command[1].replace("\\\n", " ").split()
    assert main([*arguments, "--rounds", "1", "--runs", "3"]) == 0
    assert "Written: build/digits" in capsys.readouterr().out
    assert main(["inspect", "build/digits/model.onnx"]) == 0
    assert "every file is the one it was made for" in capsys.readouterr().out
