"""An HTTP load generator: keep-alive connections, and every answer checked.

Each connection sends its next request when it has the answer to the last one.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any, NamedTuple, cast


class Call(NamedTuple):
    """One request, as the bytes on the wire, and the JSON that answers it with status 200."""

    request: bytes
    answer: Any


@dataclass
class Report:
    """What came of a load.

    Attributes:
        right: answers that were as they should be.
        errors: how many others, by what went wrong.
    """

    right: int = 0
    errors: Counter[str] = field(default_factory=Counter)


def post(path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A POST request as the bytes on the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(
    host: str, port: int, calls: Sequence[Call], connections: int, requests: float = math.inf
) -> Report:
    """Send ``calls`` in turn over ``connections``, so many or until the server stops.

    A server that closes a connection after an answer, and says so, is connected to again; one that
    then refuses has stopped, and ends that connection without an error.
    """
    report = Report()
    numbers = takewhile(lambda number: number < requests, count())
    await asyncio.gather(
        *(_keep_asking(host, port, calls, numbers, report) for _ in range(connections))
    )
    return report


async def _keep_asking(
    host: str, port: int, calls: Sequence[Call], numbers: Iterator[int], report: Report
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(calls, numbers, report), host, port
            )
        except ConnectionError:  # Refused, or reset while it was being made.
            return
        if not await connection.closed_by_server:
            return


class _Connection(asyncio.Protocol):
    """Asks, checks the answer, asks again."""

    def __init__(self, calls: Sequence[Call], numbers: Iterator[int], report: Report) -> None:
        self.closed_by_server: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._calls = calls
        self._numbers = numbers
        self._report = report
        self._received = b""
        self._call = calls[0]

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
        number = next(self._numbers, None)
        if number is None:
            self.closed_by_server.set_result(False)
            self._transport.close()
            return
        self._call = self._calls[number % len(self._calls)]
        self._transport.write(self._call.request)

    def _check(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"http/1.1 200 ") and json.loads(body) == self._call.answer:
            self._report.right += 1
        else:
            self._report.errors[head[9:12].decode() + ": " + body[:80].decode("latin-1")] += 1
        if b"connection: close" in head:
            self.closed_by_server.set_result(True)
            self._transport.close()
        else:
            self._ask()
