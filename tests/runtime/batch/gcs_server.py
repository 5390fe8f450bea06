"""What a batch uses of Google Cloud Storage's JSON API: lists in pages, ranges, uploads."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 3


class GcsServer:
    """A context that runs a server on loopback.

    Attributes:
        objects: generation and content by bucket and name, as ``bucket/name``.
        reads: the names of objects that were read.
        authorizations: what requests were sent with.
        refuse: a status for a request instead of an answer, by its method and its object.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[int, bytes]] = {}
        self.reads: list[str] = []
        self.authorizations: set[str | None] = set()
        self.refuse: Callable[[str, str], int] = lambda _method, _name: 0
        self._generation = 0
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> GcsServer:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, name: str, content: bytes) -> None:
        with self._lock:
            self._generation += 1
            self.objects[name] = (self._generation, content)

    def content(self, name: str) -> Any:
        return json.loads(self.objects[name][1])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                outer._get(self)

            def do_POST(self) -> None:
                outer._post(self)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        self.authorizations.add(handler.headers["authorization"])
        url = urlsplit(handler.path)
        _, _, _, _, bucket, _, *name = url.path.split("/")
        if not name:
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            _answer(handler, 200, self._page(f"{bucket}/", query))
            return
        self._object(handler, f"{bucket}/{unquote(name[0])}")

    def _page(self, bucket: str, query: dict[str, str]) -> bytes:
        prefix = bucket + query.get("prefix", "")
        with self._lock:
            found = sorted(name for name in self.objects if name.startswith(prefix))
        start = int(query.get("pageToken", 0))
        items = [
            {
                "name": name.removeprefix(bucket),
                "size": str(len(self.objects[name][1])),
                "generation": str(self.objects[name][0]),
            }
            for name in found[start : start + PAGE]
        ]
        page: dict[str, Any] = {"items": items} if items else {}
        if len(found) > start + PAGE:
            page["nextPageToken"] = str(start + PAGE)
        return json.dumps(page).encode()

    def _object(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        self.reads.append(name)
        status = self.refuse("GET", name)
        if status or name not in self.objects:
            _answer(handler, status or 404, b"")
            return
        generation, content = self.objects[name]
        first, _, last = handler.headers["range"].removeprefix("bytes=").partition("-")
        end = min(int(last) + 1, len(content))
        headers = {
            "ETag": f'"{generation}"',
            "Content-Range": f"bytes {first}-{end - 1}/{len(content)}",
        }
        _answer(handler, 206, content[int(first) : end], headers)

    def _post(self, handler: BaseHTTPRequestHandler) -> None:
        self.authorizations.add(handler.headers["authorization"])
        url = urlsplit(handler.path)
        content = handler.rfile.read(int(handler.headers["content-length"]))
        name = f"{url.path.split('/')[5]}/{parse_qs(url.query)['name'][0]}"
        status = self.refuse("POST", name)
        if not status:
            self.put(name, content)
        _answer(handler, status or 200, b"{}")


def _answer(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    handler.send_response(status)
    for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(body)
