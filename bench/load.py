"""An HTTP load generator: keep-alive connections, every answer checked, latencies kept.

It parses no more of HTTP than it must, so that on a core of its own it outruns the servers that it
measures. Each connection sends its next request when it has the answer to the last one.

Run it with ``uv run python -m bench.load URL --body FILE --connections 8 --seconds 5``; the answer
to the first request is what every other must equal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit
from urllib.request import Request, urlopen


class Call(NamedTuple):
    """One request, as the bytes on the wire, and the body that answers it with status 200."""

    request: bytes
    answer: bytes


@dataclass
class Report:
    """What came of a load.

    Attributes:
        seconds: from the first request to the last answer.
        latencies: of each right answer, in seconds.
        errors: how many, by what went wrong.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency, in milliseconds, that ``share`` (0 to 1) of the answers stay within."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class Stop:
    """When no more requests are sent: after ``seconds``, after ``requests``, or when ``now``."""

    def __init__(self, seconds: float = float("inf"), requests: float = float("inf")) -> None:
        self.now = False
        self._end = time.perf_counter() + seconds
        self._requests = requests
        self._sent = count()

    def __call__(self) -> bool:
        """Whether to stop; else the caller sends one more."""
        return self.now or time.perf_counter() >= self._end or next(self._sent) >= self._requests


def post(path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A POST request as the bytes on the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(host: str, port: int, calls: Sequence[Call], connections: int, stop: Stop) -> Report:
    """Send ``calls`` in turn over ``connections`` until ``stop``.

    A server that closes a connection after an answer, and says so, is connected to again; one that
    then refuses has stopped, and ends that connection without an error.
    """
    report = Report()
    start = time.perf_counter()
    await asyncio.gather(
        *(_keep_asking(host, port, calls[i % len(calls) :] + calls[: i % len(calls)], stop, report)
          for i in range(connections))
    )  # fmt: skip
    report.seconds = time.perf_counter() - start
    return report


async def _keep_asking(
    host: str, port: int, calls: Sequence[Call], stop: Stop, report: Report
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(calls, stop, report), host, port
            )
        except ConnectionError:  # Refused, or reset while it was being made.
            return
        if not await connection.closed_by_server:
            return


class _Connection(asyncio.Protocol):
    """Asks, checks the answer, asks again."""

    def __init__(self, calls: Sequence[Call], stop: Stop, report: Report) -> None:
        self.closed_by_server: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._calls = calls
        self._stop = stop
        self._report = report
        self._received = b""
        self._sent_at = 0.0
        self._turn = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n") + 4
        if head_end < 4:
            return
        head = received[:head_end].lower()
        _, _, length = head.partition(b"content-length:")
        if len(received) < head_end + int(length.split(b"\r", 1)[0]):
            return
        self._received = b""
        self._check(head, received[head_end:])

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed_by_server.done():
            self._report.errors[f"connection lost: {type(error).__name__}"] += 1
            self.closed_by_server.set_result(False)

    def _ask(self) -> None:
        if self._stop():
            self.closed_by_server.set_result(False)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(self._calls[self._turn].request)

    def _check(self, head: bytes, body: bytes) -> None:
        call = self._calls[self._turn]
        self._turn = (self._turn + 1) % len(self._calls)
        if head.startswith(b"http/1.1 200 ") and body == call.answer:
            self._report.latencies.append(time.perf_counter() - self._sent_at)
        else:
            self._report.errors[head[9:12].decode() + ": " + body[:80].decode("latin-1")] += 1
        if b"connection: close" in head:
            self.closed_by_server.set_result(True)
            self._transport.close()
        else:
            self._ask()


def main() -> None:
    """Load one URL and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--content-type", default="application/json")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    url, body = urlsplit(arguments.url), arguments.body.read_bytes()
    asked = Request(arguments.url, body, {"Content-Type": arguments.content_type})
    with urlopen(asked) as answered:
        call = Call(post(url.path, body, arguments.content_type), answered.read())
    stop = Stop(seconds=arguments.seconds)
    report = _run(str(url.hostname), url.port or 80, call, arguments.connections, stop)
    print(
        json.dumps(
            {
                "requests_per_second": round(report.rate, 1),
                "p50_ms": round(report.percentile(0.5), 3),
                "p99_ms": round(report.percentile(0.99), 3),
                "errors": report.errors,
            }
        )
    )


def _run(host: str, port: int, call: Call, connections: int, stop: Stop) -> Report:
    try:
        import uvloop  # the generator must not be the bottleneck
    except ImportError:
        return asyncio.run(load(host, port, [call], connections, stop))
    return uvloop.run(load(host, port, [call], connections, stop))


if __name__ == "__main__":
    main()
