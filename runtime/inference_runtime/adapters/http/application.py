"""The ASGI application: an HTTP request in, a reply of the data plane out.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import os
import time

from inference_runtime.adapters.http.scheduler import Scheduler
from inference_runtime.errors import ClientGone, InferenceError, Overloaded, PayloadTooLarge
from inference_runtime.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any, Final

    from inference_runtime.adapters.http.scheduler import Plane
    from inference_runtime.messages import Reply
    from inference_runtime.settings import Settings

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_LONGEST_REQUEST_ID: Final = 128


class Application:
    """Serves one data plane; any ASGI server without lifespan and WebSockets can run it.

    Args:
        plane: answers.
        settings: of this process.

    Attributes:
        scheduler: runs the requests.
        draining: whether each answer is the last on its connection; set it before a stop.
    """

    def __init__(self, plane: Plane, settings: Settings) -> None:
        self.scheduler = Scheduler(plane, settings)
        self.draining = False
        self._plane = plane
        self._max_readers = settings.max_queue
        self._readers = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = _request(scope)
        try:
            request.body = await self._body(request, receive)
        except InferenceError as error:
            reply = self._plane.refuse(request, error)
        else:
            request.received = time.perf_counter()
            reply = await self.scheduler.answer(request, lambda: _disconnected(receive))
        await self._send(reply, send)

    async def _body(self, request: Request, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            PayloadTooLarge: it is too large; nothing beyond the limit is kept.
            Overloaded: too many bodies are on their way at once.
            ClientGone: the client hung up before its end.
        """
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._plane.max_request_bytes:
            raise PayloadTooLarge.body(int(length), self._plane.max_request_bytes)
        first = await receive()
        if not first.get("more_body"):
            return _part(first)
        if self._readers >= self._max_readers:
            raise Overloaded("too many bodies are on their way; try later")
        self._readers += 1
        try:
            return await self._joined(first, receive)
        finally:
            self._readers -= 1

    async def _joined(self, message: Message, receive: Receive) -> bytes:
        body = bytearray(_part(message))
        while len(body) <= self._plane.max_request_bytes:
            if not message.get("more_body"):
                return bytes(body)
            message = await receive()
            body += _part(message)
        raise PayloadTooLarge.body(len(body), self._plane.max_request_bytes)

    async def _send(self, reply: Reply, send: Send) -> None:
        headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers.items()]
        if reply.status != 204:
            headers.append((b"content-length", b"%d" % len(reply.body)))
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})


def _request(scope: Message) -> Request:
    headers = _headers(scope["headers"])
    # The server leaves the body out of the answer to HEAD, and keeps its length.
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    path = scope["raw_path"].decode("latin-1")
    return Request(method, path, headers, b"", _request_id(headers))


def _headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _request_id(headers: dict[str, str]) -> str:
    """The caller's or proxy's own, where it is fit for a log; else a new one."""
    given = headers.get("x-request-id", "")
    if given.isprintable() and 0 < len(given) <= _LONGEST_REQUEST_ID:
        return given
    return os.urandom(8).hex()


def _part(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone("the client closed the connection before the end of its request")
    body: bytes = message.get("body", b"")
    return body


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
