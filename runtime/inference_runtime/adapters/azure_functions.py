"""Azure Functions, through a custom handler: the Functions host posts events to our HTTP server.

With ``enableForwardingHttpRequest`` in host.json the host passes HTTP requests on as they are, and
nothing is to be done here. Without it, and for every trigger but HTTP, it posts
``{"Data": {…}, "Metadata": {…}}`` to the function's name and reads
``{"Outputs": {…}, "Logs": […], "ReturnValue": …}``:
https://learn.microsoft.com/en-us/azure/azure-functions/functions-custom-handlers

An HTTP trigger's answer goes to the output binding ``res`` or ``$return``. Any other trigger's data
are a request of the simple form or of the Open Inference Protocol, and the answer is the
function's return value. Set ``routePrefix`` to ``""`` in host.json, as paths come with it.

Who may call the function may post any envelope where requests are forwarded: what is not of the
documented type is read as if it were missing.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from urllib.parse import urlsplit

from inference_runtime import jsonio
from inference_runtime.errors import InferenceError, InvalidInput, MalformedBody
from inference_runtime.exchange import json_reply
from inference_runtime.messages import Reply, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from inference_runtime.dataplane import DataPlane
    from inference_runtime.jsonio import Json

    Members = dict[str, Any]

_INVOCATION_ID: Final = "x-azure-functions-invocationid"
# Headers, identities and metadata.
_ENVELOPE_BYTES: Final = 65_536
# The bodies that the host puts into its JSON as base64.
_BINARY_TYPES: Final = ("application/octet-stream", "multipart/")


class AzureFunctions:
    """Unpacks the Functions host's envelopes around the requests to a data plane.

    Args:
        plane: answers what is in them.

    Attributes:
        max_request_bytes: of a body with its envelope, in which quotes are escaped.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.max_request_bytes = 2 * plane.max_request_bytes + _ENVELOPE_BYTES

    def handle(self, request: Request) -> Reply:
        """Answer a request of either form. Never raises: an error is a reply."""
        request.request_id = request.headers.get(_INVOCATION_ID, request.request_id)
        data = _data(request.body)
        if data is None:
            return self._plane.handle(request)
        trigger: Any = next(iter(data.values()), None)
        match trigger:
            case {"Url": str(url), "Method": str(method)}:
                return self._answer_http(method.upper(), url, trigger, request)
        return self._answer_event(trigger, request)

    def refuse(self, request: Request, error: InferenceError) -> Reply:
        """The reply to a request that is not passed on."""
        return self._plane.refuse(request, error)

    def _answer_http(self, method: str, url: str, trigger: Members, envelope: Request) -> Reply:
        request = Request(
            "GET" if method == "HEAD" else method, _path(url), _headers(trigger), b"",
            envelope.request_id, envelope.cancellation, envelope.received,
        )  # fmt: skip
        try:
            request.body = _body(trigger.get("Body", ""), request.headers)
        except InferenceError as error:
            reply = self._plane.refuse(request, error)
        else:
            reply = self._plane.handle(request)
        if reply.is_binary:
            reply = self._plane.refuse(request, InvalidInput(_TEXT_ONLY))
        answer: Json = {
            "statusCode": reply.status,
            "headers": dict(reply.headers),
            "body": "" if method == "HEAD" else reply.body.decode(),
        }  # fmt: skip
        return _outcome({"res": answer}, answer)

    def _answer_event(self, trigger: Json, envelope: Request) -> Reply:
        try:
            answer = self._plane.invoke(
                _unquoted(trigger), envelope.request_id, envelope.cancellation
            )
        except InferenceError as error:
            # The host counts it as a failure, and delivers the event again where it can.
            return json_reply({"error": {"code": error.code, "message": str(error)}}, error.status)
        return _outcome({}, answer)


_TEXT_ONLY = (
    "a custom handler's output carries text only: ask for outputs in JSON, or set"
    " enableForwardingHttpRequest in host.json"
)


def _data(body: bytes) -> Members | None:
    """What the envelope holds; ``None`` when the body is no envelope."""
    if b'"Metadata"' not in body:
        return None
    try:
        envelope = jsonio.loads(body)
    except MalformedBody:
        return None
    match envelope:
        case {"Data": dict(data), "Metadata": dict()}:
            return data
        case _:
            return None


def _path(url: str) -> str:
    try:
        return urlsplit(url).path or "/"
    except ValueError:  # a host in half a pair of brackets
        return "/"


def _headers(trigger: Members) -> dict[str, str]:
    match trigger:
        case {"Headers": dict(given)}:
            return {n.lower(): ", ".join(map(str, v)) for n, v in given.items() if type(v) is list}
    return {}


def _body(body: object, headers: Mapping[str, str]) -> bytes:
    if not isinstance(body, str):
        return jsonio.dumps(body)
    if not headers.get("content-type", "").lower().startswith(_BINARY_TYPES):
        return body.encode()
    try:
        return a2b_base64(body, strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise MalformedBody(f"the body is not base64, as its content type says: {error}") from None


def _unquoted(value: Json) -> Json:
    """A message that the host carries as JSON in text; some triggers quote it twice."""
    try:
        while isinstance(value, str):
            value = jsonio.loads(value.encode())
    except MalformedBody:
        pass  # The data plane says what it takes instead of text.
    return value


def _outcome(outputs: dict[str, Json], value: Json) -> Reply:
    return json_reply({"Outputs": outputs, "Logs": [], "ReturnValue": value})
