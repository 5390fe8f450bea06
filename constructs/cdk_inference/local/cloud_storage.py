"""Cloud Storage as a stack fills it, on this machine: objects to read, for the runtime to fetch."""

from __future__ import annotations

import re
import threading
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Buckets = Mapping[str, Mapping[str, Path]]

_HOST: Final = "127.0.0.1"
# https://cloud.google.com/storage/docs/json_api/v1/objects/get
_OBJECT: Final = re.compile(r"/storage/v1/b/(?P<bucket>[^/]+)/o/(?P<name>[^/]+)")
_RANGE: Final = re.compile(r"bytes=(?P<first>\d+)-(?P<last>\d*)")


class ObjectServer:
    """Answers reads of objects, whole or in ranges, as Cloud Storage's JSON API does.

    Args:
        buckets: the files of objects, by their buckets' names and their own.

    Attributes:
        address: for the variable ``STORAGE_EMULATOR_HOST``.

    Example:
        >>> server = ObjectServer({"models": {"a/model.onnx": Path("model.onnx")}})
        >>> server.address
        '127.0.0.1:41234'
    """

    def __init__(self, buckets: Buckets) -> None:
        self._server = _Server((_HOST, 0), _Handler)
        self._server.buckets = buckets
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.address: Final = f"{_HOST}:{self._server.server_address[1]}"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    buckets: Buckets


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        match = _OBJECT.fullmatch(urlsplit(self.path).path)
        objects = self.server.buckets.get(unquote(match["bucket"]), {}) if match else {}
        file = objects.get(unquote(match["name"])) if match else None
        if file is None:
            self._answer(HTTPStatus.NOT_FOUND, {}, b"No such object")
        else:
            self._send(file)

    def _send(self, file: Path) -> None:
        stat = file.stat()
        tag = sha256(f"{file} {stat.st_mtime_ns} {stat.st_size}".encode()).hexdigest()[:16]
        headers = {"ETag": f'"{tag}"'}
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None:
            self._answer(HTTPStatus.OK, headers, file.read_bytes())
            return
        first = int(asked["first"])
        last = min(int(asked["last"] or stat.st_size), stat.st_size - 1)
        if first > last:
            self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers, b"")
            return
        headers["Content-Range"] = f"bytes {first}-{last}/{stat.st_size}"
        with file.open("rb") as content:
            content.seek(first)
            self._answer(HTTPStatus.PARTIAL_CONTENT, headers, content.read(last - first + 1))

    def _answer(self, status: HTTPStatus, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Leave the log to the containers."""
