"""What Cloud Run does in front of an instance: limits, and nothing else."""

from __future__ import annotations

import http.client
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.limits import CLOUD_RUN_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

HOST: Final = "127.0.0.1"

# https://cloud.google.com/run/docs/about-instance-autoscaling
_QUEUE_SECONDS: Final = 10.0

# https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
_HOP_BY_HOP: Final = frozenset(
    {"connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"}
)


class Front:
    """Sends requests on to one instance, as many at the same time as the service allows.

    More wait for ten seconds, then get 429; one that takes longer than the service's timeout gets
    504. Identities are not checked.

    Args:
        instance_port: where the instance listens, on 127.0.0.1.
        concurrency: requests at the same time.
        timeout_seconds: for each.
        port: where to listen on 127.0.0.1; 0 takes a free one.
        queue_seconds: how long a request waits for its turn.
    """

    def __init__(
        self,
        instance_port: int,
        *,
        concurrency: int,
        timeout_seconds: float,
        port: int = 0,
        queue_seconds: float = _QUEUE_SECONDS,
    ) -> None:
        self._server = _Server((HOST, port), _Handler)
        self._server.instance_port = instance_port
        self._server.timeout_seconds = timeout_seconds
        self._server.queue_seconds = queue_seconds
        self._server.turns = threading.BoundedSemaphore(concurrency)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    instance_port: int
    timeout_seconds: float
    queue_seconds: float
    turns: threading.BoundedSemaphore


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever the method
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        if "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "Send the body's length")
            return
        length = int(self.headers.get("Content-Length", 0))
        if length > CLOUD_RUN_REQUEST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "More than 32 MiB")
            return
        body = self.rfile.read(length)
        if not self.server.turns.acquire(timeout=self.server.queue_seconds):
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "Rate exceeded.")
            return
        try:
            self._send_on(body)
        finally:
            self.server.turns.release()

    def _send_on(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(
            HOST, self.server.instance_port, timeout=self.server.timeout_seconds
        )
        try:
            headers = dict(_end_to_end(self.headers.items()))
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            content = response.read()
        except TimeoutError:
            self._refuse(HTTPStatus.GATEWAY_TIMEOUT, "The request took too long")
        except (OSError, http.client.HTTPException) as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"The instance does not answer: {error!r}")
        else:
            self._answer(response.status, _end_to_end(response.getheaders()), content)
        finally:
            connection.close()

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self.close_connection = True  # the body may not have been read
        headers = [("Content-Type", "text/plain"), ("Connection", "close")]
        self._answer(status, headers, f"{text}\n".encode())

    def _answer(self, status: int, headers: Iterable[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Leave the log to the containers."""


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without those that are about a connection, and the length, which is counted anew."""
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
