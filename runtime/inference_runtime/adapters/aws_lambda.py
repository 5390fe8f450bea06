"""AWS Lambda: direct invocation, API Gateway (payload 1.0 and 2.0), function URLs and ALB.

Set ``inference_runtime.adapters.aws_lambda.handler`` as the function's handler. The model is
loaded when the module is imported, in Lambda's INIT phase; a bad setting or model fails there.

A direct invocation takes and gives the simple form itself. The caller's mistakes come back as
``{"error": …}``; what is ours is raised, so that Lambda counts and retries it. The event
``{"warmup": true}`` is answered without a run.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64

from inference_runtime.errors import InferenceError, MalformedBody
from inference_runtime.messages import Reply, Request
from inference_runtime.serving import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Context(Protocol):
        """What is used of Lambda's context object."""

        aws_request_id: str

    Event = dict[str, Any]

PLANE = start()


def handler(event: Event, context: Context) -> Any:
    """Answer one event.

    Args:
        event: of any form that the module's docstring names.
        context: Lambda's.

    Returns:
        The answer in the form that the sender of such an event reads.

    Raises:
        InferenceError: on direct invocation only, when the fault is ours.
    """
    match event:
        case {"requestContext": dict()}:
            return _answer_http(event, context.aws_request_id)
        case {"warmup": True}:
            return {"warmup": True}
        case _:
            return PLANE.invoke(event, context.aws_request_id)


def _answer_http(event: Event, request_id: str) -> Event:
    request = Request(_method(event), _path(event), _headers(event), b"", request_id)
    try:
        request.body = _body(event)
    except InferenceError as error:
        return _envelope(event, PLANE.refuse(request, error))
    return _envelope(event, PLANE.handle(request))


def _method(event: Event) -> str:
    http = event["requestContext"].get("http")
    method: str = http["method"] if http else event["httpMethod"]
    return method.upper()


def _path(event: Event) -> str:
    """The path below any stage or base path: the route's template with its parameters filled in."""
    template: str = event.get("routeKey", "").partition(" ")[2] or event.get("resource") or ""
    if not template:
        return _raw_path(event)
    for name, value in (event.get("pathParameters") or {}).items():
        template = template.replace(f"{{{name}+}}", value).replace(f"{{{name}}}", value)
    return template


def _raw_path(event: Event) -> str:
    """The path as sent, without the stage that a catch-all route of an HTTP API leaves in it."""
    path: str = event.get("rawPath") or event.get("path") or "/"
    stage = event["requestContext"].get("stage", "$default")
    prefix = f"/{stage}/"
    return path[len(prefix) - 1 :] if path.startswith(prefix) else path


def _headers(event: Event) -> dict[str, str]:
    single = event.get("headers") or {}
    several = event.get("multiValueHeaders") or {}
    headers = {name.lower(): ",".join(values) for name, values in several.items()}
    return headers | {name.lower(): value for name, value in single.items()}


def _body(event: Event) -> bytes:
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode(errors="surrogatepass") if isinstance(body, str) else b""
    try:
        return a2b_base64(body, strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise MalformedBody(
            f"the event says isBase64Encoded, but its body is not: {error}"
        ) from None


def _envelope(event: Event, reply: Reply) -> Event:
    answer: Event = {
        "statusCode": reply.status,
        "headers": reply.headers,
        "body": _text(reply),
        "isBase64Encoded": reply.is_binary,
    }
    if "elb" in event["requestContext"]:
        answer["statusDescription"] = _status_line(reply.status)
        if "multiValueHeaders" in event:
            answer["multiValueHeaders"] = {n: [v] for n, v in answer.pop("headers").items()}
    return answer


def _text(reply: Reply) -> str:
    return (
        b2a_base64(reply.body, newline=False).decode() if reply.is_binary else reply.body.decode()
    )


def _status_line(status: int) -> str:
    from http import HTTPStatus  # only load balancers need it

    return f"{status} {HTTPStatus(status).phrase}"
