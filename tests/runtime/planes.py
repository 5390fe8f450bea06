"""Data planes over small models, and requests to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from inference_runtime.dataplane import DataPlane
from inference_runtime.messages import Reply, Request
from inference_runtime.serving import prepare, start
from inference_runtime.settings import Settings

from tests.runtime.onnx_models import save

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.onnx"


@contextmanager
def serving(model: onnx.ModelProto, **environ: str) -> Iterator[DataPlane]:
    """A data plane that serves ``model`` as ``m``."""
    with TemporaryDirectory() as folder:
        path = save(model, Path(folder) / "model.onnx")
        yield start(Settings.read({"MODEL_URI": path, "MODEL_NAME": "m", **environ}))


def unloaded(**environ: str) -> DataPlane:
    """A data plane whose model, the digits, is not loaded yet."""
    return prepare(Settings.read({"MODEL_URI": str(DIGITS), "MODEL_NAME": "m", **environ}))


def send(
    plane: DataPlane, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None
) -> Reply:
    """One request; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return plane.handle(Request(method, path, headers or {}, data, "request-1"))


def infer(plane: DataPlane, *inputs: dict[str, Any], **members: Any) -> Reply:
    """One inference request in JSON."""
    return send(plane, "POST", "/v2/models/m/infer", {"inputs": inputs, **members})


def answer(reply: Reply) -> Any:
    """The reply's JSON, whatever its status."""
    return json.loads(reply.body)


def error(reply: Reply, status: int = 400) -> str:
    """The message of a refusal in the protocol's form."""
    assert reply.status == status, reply.body
    message = answer(reply)["error"]
    assert isinstance(message, str)
    return message
