"""A reply as the bytes of an HTTP/1.1 response."""

from __future__ import annotations

import time
from functools import lru_cache

from inference_runtime import jsonio
from inference_runtime.messages import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# http.HTTPStatus has them too, and takes 10 ms to import.
_REASONS: Final = {
    200: "OK", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 413: "Content Too Large",
    415: "Unsupported Media Type", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 499: "Client Closed Request",
    500: "Internal Server Error", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def response(reply: Reply, *, closes: bool, without_body: bool = False) -> bytes:
    """The whole response.

    Args:
        reply: what to say.
        closes: whether it is the last on its connection.
        without_body: as the answer to HEAD; its length is told all the same.
    """
    head = _head(reply.status, tuple(reply.headers.items()), closes)
    if reply.status == 204:
        return b"%b%b\r\n" % (head, _date(int(time.time())))
    body = b"" if without_body else reply.body
    date = _date(int(time.time()))
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (head, date, len(reply.body), body)


def refusal(status: int, text: str) -> bytes:
    """The last response to who does not speak HTTP, or not in time."""
    body = jsonio.dumps({"error": text})
    reply = Reply(status, {"content-type": "application/json"}, body)
    return response(reply, closes=True)


@lru_cache(maxsize=256)  # the same few, request after request
def _head(status: int, headers: tuple[tuple[str, str], ...], closes: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if closes:
        lines.append("connection: close")
    return "\r\n".join([*lines, ""]).encode("latin-1")


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    """The line of the current time: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7"""
    now = time.gmtime(second)
    return (
        f"date: {_DAYS[now.tm_wday]}, {now.tm_mday:02} {_MONTHS[now.tm_mon - 1]} {now.tm_year}"
        f" {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} GMT\r\n"
    ).encode()
