"""What is fuzzed: from a caller's bytes to an answer, for each codec and for the event forms.

Each target takes any bytes at all. It raises for what must never be: an exception, a 5xx, a body
that is not what its headers say. ``seeds`` are the recorded requests that it starts from.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from inference_runtime import jsonio
from inference_runtime.adapters.http.request_reader import NotHttp, RequestReader
from inference_runtime.adapters.lambda_function import LambdaFunction
from inference_runtime.dataplane import DataPlane
from inference_runtime.errors import PayloadTooLarge
from inference_runtime.messages import Reply, Request

from tests.contract import corpus
from tests.runtime import onnx_models as models
from tests.runtime.planes import serving

Target = Callable[[bytes], None]

MAX_REQUEST_BYTES: Final = 65_536
INFER: Final = "/v2/models/m/infer"
LENGTH_BYTES: Final = 2
ENCODINGS: Final = ("gzip", "deflate", "x-gzip", "br", "identity")
_LENGTH_HEADER: Final = "inference-header-content-length"

_kept = ExitStack()  # the models stay while the process does


@dataclass(frozen=True)
class Runtime:
    """What answers over HTTP, and what answers Lambda's events."""

    plane: DataPlane
    function: LambdaFunction


def simple(runtime: Runtime, data: bytes) -> None:
    """The simple form's body."""
    _post(runtime, "/predict", data)


def open_inference(runtime: Runtime, data: bytes) -> None:
    """The Open Inference Protocol's JSON body."""
    _post(runtime, INFER, data)


def binary(runtime: Runtime, data: bytes) -> None:
    """Two bytes that say the JSON header's length, then that header and the raw tensors."""
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    _post(runtime, INFER, data[LENGTH_BYTES:], {_LENGTH_HEADER: str(length)})


def compressed(runtime: Runtime, data: bytes) -> None:
    """One byte that chooses the Content-Encoding, then the body."""
    encoding = ENCODINGS[data[0] % len(ENCODINGS)] if data else ""
    _post(runtime, "/predict", data[1:], {"content-encoding": encoding})


def path(runtime: Runtime, data: bytes) -> None:
    """Method and path of a request without a body."""
    method, _, rest = data.decode("latin-1").partition(" ")
    check(runtime.plane.handle(Request(method, rest, {}, b"", "fuzz")))


def event(runtime: Runtime, data: bytes) -> None:
    """A Lambda event of any form."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return  # Lambda passes on JSON only
    answer = runtime.function.answer(content, "fuzz", time.time() + 10)
    jsonio.dumps(answer)
    if isinstance(answer, dict) and "statusCode" in answer:
        assert int(str(answer["statusCode"])) < 500, answer


def http(_runtime: Runtime, data: bytes) -> None:
    """One byte that says where to cut, then what a client sends on a connection: in two pieces it
    means what it means in one.
    """
    if data:
        cut, sent = data[0], data[1:]
        assert _read(sent) == _read(sent[:cut], sent[cut:])


def _read(*pieces: bytes) -> list[object]:
    """The requests in ``pieces``, and what was refused behind them."""
    found: list[object] = []
    reader = RequestReader(
        MAX_REQUEST_BYTES,
        lambda asked, *more: found.append(
            (asked.method, asked.path, asked.headers, asked.body, more)
        ),
    )
    try:
        for piece in pieces:
            reader.feed(memoryview(piece))
    except (NotHttp, PayloadTooLarge) as refusal:
        found.append(refusal.status)
    return found


TARGETS: Final[dict[str, Callable[[Runtime, bytes], None]]] = {
    target.__name__: target
    for target in (simple, open_inference, binary, compressed, path, event, http)
}


def make(name: str) -> Target:
    """The target ``name`` over a model with two inputs and two outputs."""
    target = TARGETS[name]
    plane = _kept.enter_context(
        serving(
            models.sum_and_product(),
            INFERENCE_REQUEST_LOG="errors",
            INFERENCE_MAX_REQUEST_BYTES=str(MAX_REQUEST_BYTES),
        )
    )
    runtime = Runtime(plane, LambdaFunction(plane))
    return lambda data: target(runtime, data)


def seeds(name: str) -> Iterator[bytes]:
    """Recorded requests in the form that the target ``name`` reads."""
    for model in corpus.NAMES:
        for exchange in corpus.Corpus(model).exchanges:
            seed = _seed(name, exchange.request)
            if seed is not None:
                yield seed


def _seed(name: str, request: corpus.Request) -> bytes | None:
    length = request.headers.get(_LENGTH_HEADER, "")
    encoding = request.headers.get("content-encoding")
    match name:
        case "path":
            return f"{request.method} {request.path}".encode()
        case "http":
            return bytes([len(request.body) % 256]) + _wire(request)
        case "event":
            return json.dumps(_event(request.method, request.path, request.body)).encode()
        case "compressed" if encoding in ENCODINGS:
            return bytes([ENCODINGS.index(encoding)]) + request.body
        case "binary" if length.isdigit():
            return int(length).to_bytes(LENGTH_BYTES, "little") + request.body
        case "simple" | "open_inference":
            return request.body
    return None


def _wire(request: corpus.Request) -> bytes:
    """The request as a client sends it: now with its length, now in chunks, now offering HTTP/2."""
    body, number = request.body, len(request.body) % 3
    fields = [f"{name}: {value}\r\n" for name, value in request.headers.items()]
    framing = "Transfer-Encoding: chunked" if number == 1 else f"Content-Length: {len(body)}"
    offer = "Connection: Upgrade\r\nUpgrade: h2c\r\n" if number == 2 else ""
    head = f"{request.method} {request.path} HTTP/1.1\r\n{''.join(fields)}{offer}{framing}\r\n\r\n"
    if number == 1:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    return head.encode() + body


def _event(method: str, path: str, body: bytes) -> dict[str, Any]:
    context = {"http": {"method": method, "path": path}, "stage": "$default"}
    text = body.decode("utf-8", "replace")
    return {"version": "2.0", "rawPath": path, "requestContext": context, "body": text}


def _post(runtime: Runtime, path: str, body: bytes, headers: dict[str, str] | None = None) -> None:
    check(runtime.plane.handle(Request("POST", path, headers or {}, body, "fuzz")))


def check(reply: Reply) -> None:
    """Raise for what no caller may ever get."""
    assert reply.status < 500, (reply.status, reply.body)
    if reply.headers.get("content-type") == "application/json":
        json.loads(reply.body)
