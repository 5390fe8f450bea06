"""The recorded requests that every adapter must answer alike.

``corpus/*.json`` holds one file for each model: the environment that the runtime is started with,
and exchanges, each a request and its reply. A body is given in one of three ways: ``body`` is a
JSON value, ``text`` is sent as it is, ``base64`` is for bytes that are no text.

To add a request, write it without a reply, run ``uv run python -m tests.contract.record``, and
read the difference.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.runtime import onnx_models

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "corpus"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
# Every player has its platform call each request by this id.
REQUEST_ID = "8f507cfc-example"


@dataclass(frozen=True)
class Request:
    """What a caller sends, before any platform wraps it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What a caller gets; ``None`` for what a platform's form cannot tell."""

    status: int
    headers: dict[str, str] | None
    body: Any

    @classmethod
    def read(cls, status: int, headers: dict[str, str], body: bytes) -> Reply:
        """From what came over the wire."""
        is_json = headers.get("content-type") == "application/json"
        return cls(status, headers, json.loads(body) if is_json else body)


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its reply."""

    name: str
    request: Request
    reply: Reply


class Corpus:
    """One file of recorded requests for one model."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / f"{name}.json"
        self.content = json.loads(self.path.read_text())

    @property
    def exchanges(self) -> Iterator[Exchange]:
        for recorded in self.content["exchanges"]:
            request, reply = recorded["request"], recorded["reply"]
            headers = reply["headers"]
            yield Exchange(
                recorded["name"],
                read_request(request),
                Reply.read(reply["status"], headers, read_body(reply)),
            )

    def environ(self, folder: Path) -> dict[str, str]:
        """The settings to start the runtime with; the model is written to ``folder``."""
        name = self.content["model"]
        if name == "digits":
            uri = str(REPOSITORY / "models" / "digits" / "digits.onnx")
        else:
            uri = onnx_models.save(getattr(onnx_models, name)(), folder / "model.onnx")
        return {"MODEL_URI": uri, "MODEL_NAME": name, **self.content["environment"]}


def read_request(recorded: dict[str, Any]) -> Request:
    return Request(
        recorded["method"], recorded["path"], recorded.get("headers", {}), read_body(recorded)
    )


def read_body(recorded: dict[str, Any]) -> bytes:
    if "body" in recorded:
        return json.dumps(recorded["body"]).encode()
    if "base64" in recorded:
        return b64decode(recorded["base64"])
    return str(recorded.get("text", "")).encode()


def write_body(body: bytes, *, is_json: bool) -> dict[str, Any]:
    """The opposite of ``read_body``."""
    if is_json:
        return {"body": json.loads(body)}
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(body).decode()}


def same(recorded: Reply, answered: Reply) -> bool:
    """Whether a reply is the recorded one, as far as its form can tell."""
    return (
        recorded.status == answered.status
        and same_json(recorded.body, answered.body)
        and (
            answered.headers is None
            or recorded.headers is None
            or recorded.headers.items() <= answered.headers.items()
        )
    )


def same_json(recorded: Any, answered: Any) -> bool:
    """Equal, but for the last digits of a float: those are the processor's."""
    if type(recorded) is not type(answered):
        return False
    if isinstance(recorded, dict):
        return list(recorded) == list(answered) and all(
            same_json(value, answered[key]) for key, value in recorded.items()
        )
    if isinstance(recorded, list):
        return len(recorded) == len(answered) and all(map(same_json, recorded, answered))
    if isinstance(recorded, float):
        return math.isclose(recorded, answered, rel_tol=1e-4, abs_tol=1e-6)
    return bool(recorded == answered)
