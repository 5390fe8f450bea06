"""The data plane as an ASGI application, for who has a server of their own: uvicorn, granian,
hypercorn, or a larger application to mount it in.

``inference-runtime serve`` needs none: docs/decisions/002-http-server.md compares them.
https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
import time

from inference_runtime.adapters.http.request_reader import request_id
from inference_runtime.adapters.http.scheduler import Scheduler
from inference_runtime.errors import ClientGone, InferenceError, PayloadTooLarge
from inference_runtime.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    from inference_runtime.adapters.http.scheduler import Plane
    from inference_runtime.messages import Reply
    from inference_runtime.settings import Settings

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]


class Application:
    """Serves one data plane. How long a client may take, and how many there may be, is the
    server's affair.

    Args:
        plane: answers.
        settings: of this process.

    Example:
        >>> plane = serving.start(Settings.read({"MODEL_URI": "models/digits/digits.onnx"}))
        >>> app = Application(plane, plane.settings)  # uvicorn module:app --lifespan off
    """

    def __init__(self, plane: Plane, settings: Settings) -> None:
        self._plane = plane
        self._settings = settings
        self._scheduler: Scheduler | None = None  # with the first request there is a loop

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = _request(scope)
        try:
            request.body = await self._body(receive)
        except InferenceError as error:
            reply = self._plane.refuse(request, error)
        else:
            request.received = time.perf_counter()
            reply = await self._answer(request, receive)
        await _send(reply, send)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            PayloadTooLarge: it is too large; nothing beyond the limit is kept.
            ClientGone: the client hung up before its end.
        """
        body, limit = bytearray(), self._plane.max_request_bytes
        while len(body) <= limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone("the client closed the connection within its request")
            body += message.get("body", b"")
            if not message.get("more_body"):
                return bytes(body)
        raise PayloadTooLarge.body(len(body), limit)

    async def _answer(self, request: Request, receive: Receive) -> Reply:
        loop = asyncio.get_running_loop()
        if self._scheduler is None:
            self._scheduler = Scheduler(self._plane, self._settings, loop)
        reply = self._scheduler.answer_here(request)
        if reply is not None:
            return reply
        answered: asyncio.Future[Reply] = loop.create_future()
        run = self._scheduler.answer_on_thread(request, answered.set_result)

        async def end_when_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            run.end(ClientGone("the client closed the connection"))

        watcher = asyncio.create_task(end_when_gone())
        try:
            return await asyncio.shield(answered)
        finally:
            watcher.cancel()


def _request(scope: Message) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    # The server leaves the body out of the answer to HEAD, and keeps its length.
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return Request(method, scope["raw_path"].decode("latin-1"), headers, b"", request_id(headers))


async def _send(reply: Reply, send: Send) -> None:
    headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers.items()]
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
