"""A web server that gives the files of a folder as an S3-compatible store gives objects, after a
delay: ``python -m bench.object_store FOLDER SECONDS`` prints its port and serves until it is ended.

It knows what downloads ask for, HEAD and GET with one range, and sends files without copying them
through Python, so that it takes little of the time that is measured.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@contextmanager
def running(folder: Path, delay: float) -> Iterator[str]:
    """The URL of a server in a process of its own.

    Args:
        folder: with a folder for each bucket.
        delay: seconds before each answer.
    """
    command = [sys.executable, "-m", "bench.object_store", str(folder), str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


class Objects(BaseHTTPRequestHandler):
    """Answers requests for the files below ``folder``."""

    protocol_version = "HTTP/1.1"
    # Else a short body waits, after its head, for the client's delayed acknowledgement: 40 ms that
    # no store lets its clients wait.
    disable_nagle_algorithm = True
    folder: Path
    delay: float

    def do_HEAD(self) -> None:
        """Tell of an object."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Give an object, or a range of it."""
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self, *, with_body: bool) -> None:
        time.sleep(self.delay)
        path = self.folder / self.path.partition("?")[0].removeprefix("/")
        if not path.is_file():
            self._send_head(HTTPStatus.NOT_FOUND, {"Content-Length": "0"})
            return
        size = path.stat().st_size
        start, end = self._range(size)
        headers = {
            "ETag": f'"{path.stat().st_mtime_ns:x}"',
            "Last-Modified": self.date_time_string(path.stat().st_mtime),
            "Content-Length": str(end - start),
        }
        if "Range" in self.headers:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            self._send_head(HTTPStatus.PARTIAL_CONTENT, headers)
        else:
            self._send_head(HTTPStatus.OK, headers)
        if with_body:
            with path.open("rb") as file:
                self.connection.sendfile(file, start, end - start)

    def _range(self, size: int) -> tuple[int, int]:
        asked = RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None:
            return 0, size
        return int(asked[1]), min(int(asked[2] or size) + 1, size)

    def _send_head(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    """A server whose clients may break off."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that broke off is none of the server's business."""


if __name__ == "__main__":
    Objects.folder, Objects.delay = Path(sys.argv[1]), float(sys.argv[2])
    server = Server(("127.0.0.1", 0), Objects)
    print(server.server_port, flush=True)
    server.serve_forever()
