"""Each player carries the recorded requests through one way into the runtime.

A player is a context manager: it starts the runtime with an environment and yields a function
from a request to a reply, or to ``None`` where its form cannot carry such a request. To add a
platform, write one more and name it in ``PLAYERS``.
"""

from __future__ import annotations

import importlib
import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import orjson
from inference_runtime.errors import InferenceError

from tests.contract.corpus import REQUEST_ID, Reply, Request
from tests.contract.http_players import asgi, azure_functions, google_functions, http_server
from tests.contract.runtime_api import AWSLAMBDARIC, LOOP, lambda_client

Environ = dict[str, str]
Play = Callable[[Request], Reply | None]
Player = Callable[[Environ], AbstractContextManager[Play]]
Event = dict[str, Any]
# Builds an event around a body that is text: either the body itself or its base64.
Form = Callable[[Request, str, bool], Event]

ADAPTER = "inference_runtime.adapters.aws_lambda"
CODES = {cls.code: cls.status for cls in InferenceError.__subclasses__()}
SETTINGS = ("MODEL_", "INFERENCE_", "AWS_LAMBDA_")


@contextmanager
def environment(environ: Environ) -> Iterator[None]:
    """Only these settings, whatever the tests run under."""
    others = {name: text for name, text in os.environ.items() if not name.startswith(SETTINGS)}
    with patch.dict(os.environ, {**others, **environ}, clear=True):
        yield


# AWS Lambda: the forms of an event


def http_api(request: Request, body: str, encoded: bool) -> Event:
    """An API Gateway HTTP API, payload 2.0: header names in lower case."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": "",
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "stage": "$default",
            "http": {"method": request.method, "path": request.path},
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def function_url(request: Request, body: str, encoded: bool) -> Event:
    """A function URL: payload 2.0 too, without a body where there is none."""
    event = http_api(request, body, encoded)
    event["requestContext"]["domainName"] = "abc.lambda-url.eu-west-1.on.aws"
    if not body:
        del event["body"]
    return event


def rest_api(request: Request, body: str, encoded: bool) -> Event:
    """An API Gateway REST API, payload 1.0: headers as the caller wrote them, twice."""
    return {
        "resource": "/{proxy+}",
        "path": request.path,
        "pathParameters": {"proxy": request.path.removeprefix("/")},
        "httpMethod": request.method,
        "headers": request.headers or None,
        "multiValueHeaders": {n: [v] for n, v in request.headers.items()} or None,
        "requestContext": {"stage": "prod", "path": f"/prod{request.path}"},
        "body": body or None,
        "isBase64Encoded": encoded,
    }


def shouting_rest_api(request: Request, body: str, encoded: bool) -> Event:
    """The same with header names in capitals, as an emulator may pass them on, and once only."""
    headers = {name.upper(): value for name, value in request.headers.items()}
    return {**rest_api(request, body, encoded), "headers": headers, "multiValueHeaders": None}


def alb(request: Request, body: str, encoded: bool) -> Event:
    """An Application Load Balancer."""
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:…"}},
        "httpMethod": request.method,
        "path": request.path,
        "queryStringParameters": {},
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "body": body,
        "isBase64Encoded": encoded,
    }


def multi_value_alb(request: Request, body: str, encoded: bool) -> Event:
    """The same from a target group with multi-value headers."""
    event = alb(request, body, encoded)
    event["multiValueHeaders"] = {name: [value] for name, value in event.pop("headers").items()}
    return event


def to_event(form: Form, request: Request, *, base64: bool = False) -> Event:
    """The event for a request; a body that is no text comes as base64 in any case."""
    try:
        text = request.body.decode()
    except UnicodeDecodeError:
        base64 = True
    return form(request, b64encode(request.body).decode() if base64 else text, base64)


def from_answer(answer: Event) -> Reply:
    """What the platform would send back to the caller."""
    several = answer.get("multiValueHeaders")
    headers = answer["headers"] if several is None else {n: ",".join(v) for n, v in several.items()}
    body = b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    return Reply.read(answer["statusCode"], headers, body)


# AWS Lambda: the players


@contextmanager
def handler(environ: Environ) -> Iterator[Callable[[Any], Any]]:
    """The Lambda handler, freshly imported, as the runtime loads its model on import."""
    with environment(environ):
        sys.modules.pop(ADAPTER, None)  # and no other: classes of errors must stay the same
        adapter = importlib.import_module(ADAPTER)
        context = SimpleNamespace(
            aws_request_id=REQUEST_ID, get_remaining_time_in_millis=lambda: 30_000
        )
        yield lambda event: adapter.handler(event, context)


def lambda_events(form: Form, *, base64: bool = False) -> Player:
    """Plays through the handler in one form of event."""

    @contextmanager
    def player(environ: Environ) -> Iterator[Play]:
        with handler(environ) as invoke:
            yield lambda request: from_answer(invoke(to_event(form, request, base64=base64)))

    return player


def with_setting(player: Player, name: str, text: str) -> Player:
    """The same player, with one setting changed."""
    return lambda environ: player({**environ, name: text})


@contextmanager
def direct_invocation(environ: Environ) -> Iterator[Play]:
    """The body itself is the event, so only JSON objects for the simple form can be played."""

    def play(request: Request) -> Reply | None:
        payload = _json_object(request)
        if payload is None or (request.method, request.path) != ("POST", "/predict"):
            return None
        try:
            answer = invoke(payload)
        except InferenceError as error:
            body = {"code": error.code, "message": str(error), "request_id": REQUEST_ID}
            return Reply(error.status, None, {"error": body})
        status = CODES[answer["error"]["code"]] if "error" in answer else 200
        return Reply(status, None, answer)

    with handler(environ) as invoke:
        yield play


def runtime_api(client: tuple[str, ...]) -> Player:
    """Plays through a client in a process of its own, over the Runtime API."""

    @contextmanager
    def player(environ: Environ) -> Iterator[Play]:
        with lambda_client(environ, client) as api:

            def play(request: Request) -> Reply:
                outcome = api.invoke(to_event(http_api, request), REQUEST_ID)
                assert outcome.kind == "response"
                return from_answer(outcome.payload)

            yield play

    return player


@contextmanager
def streaming_loop(environ: Environ) -> Iterator[Play]:
    """Our client with a function URL that streams: status and headers come before eight NULs."""
    streaming = {**environ, "INFERENCE_INVOKE_MODE": "RESPONSE_STREAM"}
    with lambda_client(streaming, LOOP) as api:

        def play(request: Request) -> Reply:
            outcome = api.invoke(to_event(function_url, request), REQUEST_ID)
            assert outcome.headers["lambda-runtime-function-response-mode"] == "streaming"
            prelude, _, body = outcome.body.partition(bytes(8))
            answer = orjson.loads(prelude)
            return Reply.read(answer["statusCode"], answer["headers"], body)

        yield play


def _json_object(request: Request) -> dict[str, Any] | None:
    try:
        value = orjson.loads(request.body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


PLAYERS: dict[str, Player] = {
    "http-api": lambda_events(http_api),
    "http-api-base64": lambda_events(http_api, base64=True),
    "function-url": lambda_events(function_url),
    "function-url-base64": lambda_events(function_url, base64=True),
    "rest-api": lambda_events(rest_api),
    "rest-api-base64": lambda_events(rest_api, base64=True),
    "rest-api-capitals": lambda_events(shouting_rest_api),
    "alb": lambda_events(alb),
    "alb-base64": lambda_events(alb, base64=True),
    "alb-multi-value": lambda_events(multi_value_alb),
    "alb-multi-value-base64": lambda_events(multi_value_alb, base64=True),
    "direct": direct_invocation,
    "stock-engine": with_setting(lambda_events(http_api), "INFERENCE_ENGINE", "stock"),
    "awslambdaric": runtime_api(AWSLAMBDARIC),
    "loop": runtime_api(LOOP),
    "loop-streaming": streaming_loop,
    "http": http_server,
    "asgi": asgi,
    "azure-functions": azure_functions,
    "google-functions": google_functions,
}
