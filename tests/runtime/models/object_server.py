"""A web server on loopback that gives objects in ranges, with ETags, and fails when told to."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset


class Request:
    """A request as the server saw it.

    Attributes:
        method: of HTTP.
        path: with the query.
        headers: lower-case names.
        start: of the range that was asked for; 0 without one.
        length: of that range; 0 without one.
        body: what was sent.
    """

    def __init__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> None:
        self.method = method
        self.path = path
        self.body = body
        self.headers = {name.lower(): value for name, value in headers.items()}
        span = self.headers.get("range", "bytes=0--1").removeprefix("bytes=")
        first, _, last = span.partition("-")
        self.start = int(first)
        self.length = int(last) + 1 - self.start


class Fault:
    """What goes wrong with one answer.

    Attributes:
        delay: seconds before it.
        status: instead of the object.
        body: with that status.
        headers: in place of or beside the usual ones.
        cut: bytes of the body that are sent before the connection ends.
        reset: whether it ends with a reset.
        stall: seconds of silence where the body is cut.
        whole: whether the range is ignored.
    """

    def __init__(
        self, *, delay: float = 0, status: int = 0, body: bytes = b"",
        headers: Mapping[str, str] | None = None, cut: int | None = None, reset: bool = False,
        stall: float = 0, whole: bool = False,
    ) -> None:  # fmt: skip
        self.delay = delay
        self.status = status
        self.body = body
        self.headers = dict(headers or {})
        self.cut = cut
        self.reset = reset
        self.stall = stall
        self.whole = whole


FaultRule = Callable[[Request], Fault | None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that breaks off is no error of the test's."""


class ObjectServer:
    """Serves ``objects`` by path. A context: it runs inside.

    Attributes:
        objects: content by path, without the leading slash.
        answer: gives the answer to a path that is no object: JSON or XML, for example.
        fault: what goes wrong with a request.
        requests: all so far.
        port: where it listens.
    """

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})
        self.fault: FaultRule = lambda _request: None
        self.answer: Callable[[Request], bytes | None] = lambda _request: None
        self.requests: list[Request] = []
        self.lock = Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_port

    def __enter__(self) -> ObjectServer:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def encrypt(self, certificate: Path) -> None:
        """Speak TLS from now on, with this certificate and its key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def requests_for(self, path: str) -> list[Request]:
        """Those for one object."""
        return [r for r in self.requests if r.path.partition("?")[0] == f"/{path}"]

    def fetched_bytes(self, path: str) -> int:
        """Bytes of an object that ranges were asked for."""
        size = len(self.objects[path])
        total = 0
        for request in self.requests_for(path):
            total += min(request.start + request.length, size) - request.start
        return total

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            do_PUT = do_POST = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        request = Request(handler.command, handler.path, handler.headers, body)
        with self.lock:
            self.requests.append(request)
            fault = self.fault(request) or Fault()
        time.sleep(fault.delay)
        status, headers, content = self._reply(request, fault)
        headers |= fault.headers
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        _send_body(handler, content, fault)

    def _reply(self, request: Request, fault: Fault) -> tuple[int, dict[str, str], bytes]:
        if fault.status:
            return fault.status, {}, fault.body
        special = self.answer(request)
        if special is not None:
            return 200, {}, special
        content = self.objects.get(request.path.partition("?")[0].removeprefix("/"))
        if content is None:
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        headers = {"ETag": f'"{sha256(content).hexdigest()[:16]}"'}
        if request.headers.get("if-match", headers["ETag"]) != headers["ETag"]:
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        if "range" not in request.headers or fault.whole:
            return 200, headers, content
        if request.start >= len(content):
            return 416, {}, b"<Error><Code>InvalidRange</Code></Error>"
        end = min(request.start + request.length, len(content))
        headers["Content-Range"] = f"bytes {request.start}-{end - 1}/{len(content)}"
        return 206, headers, content[request.start : end]


def _send_body(handler: BaseHTTPRequestHandler, body: bytes, fault: Fault) -> None:
    try:
        handler.wfile.write(body[: fault.cut])
        if fault.cut is None:
            return
        time.sleep(fault.stall)
        if fault.reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        handler.connection.close() if fault.reset else handler.connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the client was faster
    handler.close_connection = True
