"""The HTTP events of AWS Lambda: API Gateway (payload 1.0 and 2.0), function URLs and ALB.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
and https://docs.aws.amazon.com/lambda/latest/dg/services-alb.html. Who may invoke the function may
send any event: what is not of the documented type is read as if it were missing.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64

from inference_runtime.errors import MalformedBody
from inference_runtime.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from inference_runtime.messages import Reply

    Event = dict[str, Any]


def is_http(event: object) -> bool:
    """Whether an event carries an HTTP request."""
    return bool(_method(event))


def is_head(event: Event) -> bool:
    """Whether it asks for what GET would answer, but for the body."""
    return _method(event) == "HEAD"


def read_request(event: Event, request_id: str) -> Request:
    """The request that an HTTP event carries, without its body: see ``read_body``."""
    method = "GET" if is_head(event) else _method(event)
    return Request(method, _path(event), _headers(event), b"", request_id)


def read_body(event: Event) -> bytes:
    """The body that an HTTP event carries.

    Raises:
        MalformedBody: the event says that it is base64, and it is not.
    """
    body = _text(event.get("body"))
    if not event.get("isBase64Encoded"):
        return body.encode(errors="surrogatepass")
    try:
        return a2b_base64(body, strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise MalformedBody(
            f"the event says isBase64Encoded, but its body is not: {error}"
        ) from None


def envelope(event: Event, reply: Reply) -> Event:
    """What the sender of ``event`` reads as the answer ``reply``."""
    answer: Event = {
        "statusCode": reply.status,
        "headers": reply.headers,
        "body": _body_text(reply),
        "isBase64Encoded": reply.is_binary,
    }
    if "elb" in event["requestContext"]:
        answer["statusDescription"] = _status_line(reply.status)
        if "multiValueHeaders" in event:
            answer["multiValueHeaders"] = {n: [v] for n, v in answer.pop("headers").items()}
    return answer


def body_size(reply: Reply) -> int:
    """The bytes that the body of ``reply`` takes in an envelope."""
    body = reply.body
    if reply.is_binary:
        return (len(body) + 2) // 3 * 4
    return len(body) + body.count(b'"') + body.count(b"\\")


def _method(event: object) -> str:
    match event:
        case {"requestContext": {"http": {"method": str(method)}}}:
            return method.upper()
        case {"requestContext": dict(), "httpMethod": str(method)}:
            return method.upper()
    return ""


def _path(event: Event) -> str:
    """The path below any stage or base path: the route's template with its parameters filled in."""
    route = _text(event.get("routeKey")).partition(" ")[2]
    template = route or _text(event.get("resource"))
    if not template:
        return _raw_path(event)
    for name, value in _object(event.get("pathParameters")).items():
        filling = _text(value)
        template = template.replace(f"{{{name}+}}", filling).replace(f"{{{name}}}", filling)
    return template


def _raw_path(event: Event) -> str:
    """The path as sent, without the stage that a catch-all route of an HTTP API leaves in it."""
    path = _text(event.get("rawPath")) or _text(event.get("path")) or "/"
    stage = event["requestContext"].get("stage", "$default")
    prefix = f"/{stage}/"
    return path[len(prefix) - 1 :] if path.startswith(prefix) else path


def _headers(event: Event) -> dict[str, str]:
    single = _object(event.get("headers"))
    several = _object(event.get("multiValueHeaders"))
    headers = {n.lower(): ",".join(map(_text, v)) for n, v in several.items() if type(v) is list}
    return headers | {name.lower(): _text(value) for name, value in single.items()}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Event:
    return value if isinstance(value, dict) else {}


def _body_text(reply: Reply) -> str:
    return (
        b2a_base64(reply.body, newline=False).decode() if reply.is_binary else reply.body.decode()
    )


def _status_line(status: int) -> str:
    from http import HTTPStatus  # only load balancers need it

    return f"{status} {HTTPStatus(status).phrase}"
