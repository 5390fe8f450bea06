"""docs/runtime.md says what the code does: its tables, its requests and its log lines."""

from __future__ import annotations

import json
import re

import pytest
from inference_runtime.messages import Request

from tests.runtime import onnx_models
from tests.runtime.conftest import ReadLog, Start
from tests.runtime.documentation import PAGE, written

EXAMPLE = re.compile(
    r"^```json (?P<form>request|infer)=(?P<model>\w+)(?: (?P<setting>\S+))?\n"
    r"(?P<request>.*?)^```\n\n"
    r"^```json reply(?:=(?P<status>\d+))?\n(?P<reply>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
LOG_LINE = re.compile(r"^```json log=(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
TEXT = PAGE.read_text()
PATHS = {"request": "/predict", "infer": "/v2/models/model/infer"}
EXAMPLES = list(EXAMPLE.finditer(TEXT))
LOG_LINES = {name: json.loads(line) for name, line in LOG_LINE.findall(TEXT)}


def test_the_tables_are_those_of_the_code() -> None:
    assert written(TEXT) == TEXT, "run: uv run python -m tests.runtime.documentation"


def test_every_block_is_played() -> None:
    assert TEXT.count("```json ") == 2 * len(EXAMPLES) + len(LOG_LINES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e['model']}-{e['request'].strip()}")
def test_each_request_is_answered_as_shown(example: re.Match[str], start: Start) -> None:
    name, _, text = (example["setting"] or "").partition("=")
    plane = start(getattr(onnx_models, example["model"])(), **({name: text} if name else {}))
    path = PATHS[example["form"]]
    reply = plane.handle(Request("POST", path, {}, example["request"].encode(), "id"))
    assert reply.status == int(example["status"] or 200)
    assert json.loads(reply.body) == json.loads(example["reply"])


def test_log_lines_have_the_members_that_are_shown(start: Start, read_log: ReadLog) -> None:
    plane = start(onnx_models.scaled())
    for body in (b'{"features": [1, 2]}', b'{"features": [1, 2, 3]}'):
        plane.handle(Request("POST", "/predict", {}, body, "id"))
    shown = [LOG_LINES[name] for name in ("ready", "prediction", "error")]
    assert [list(line) for line in read_log()] == [list(line) for line in shown]
