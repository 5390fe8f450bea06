"""From the bytes of a connection to requests.

llhttp, Node.js's parser (https://llhttp.org), reads them, through ``httptools``; the bounds on what
a client may send are here.
"""

from __future__ import annotations

import os
from itertools import count
from time import perf_counter

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
    parse_url,
)

from inference_runtime.errors import PayloadTooLarge
from inference_runtime.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

# As nginx's large_client_header_buffers in all, and what most proxies let through:
# https://nginx.org/en/docs/http/ngx_http_core_module.html#large_client_header_buffers
MOST_HEAD_BYTES: Final = 32_768
_HEAD_TOO_LARGE: Final = f"the request's head has more than {MOST_HEAD_BYTES:,} bytes"
_LONGEST_REQUEST_ID: Final = 128
_HEAD: Final = b"HEAD"


class NotHttp(Exception):
    """What came is no request that could be answered as one; the text says why.

    Attributes:
        status: of the response.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class RequestReader:
    """Takes bytes as they come, and gives whole requests.

    Args:
        most_body_bytes: that a body may have.
        give: is called with each whole request, whether another may follow on the connection, and
            whether only the head of its response is wanted.

    Attributes:
        is_reading: whether a request has begun that is not whole.
        is_in_body: whether it is whole but for its body.
        body_bytes: of it that have come.
        asks_to_continue: whether its client waits to be told before it sends the body.
    """

    def __init__(self, most_body_bytes: int, give: Callable[[Request, bool, bool], None]) -> None:
        self.is_reading = self.is_in_body = self.asks_to_continue = False
        self._parser = HttpRequestParser(self)
        self._most_body_bytes = most_body_bytes
        self._give = give
        self._head_bytes = 0  # or of what is behind a chunked body; since the last that is known
        self._declines = False  # another protocol that was offered
        self._method, self._path = b"", ""
        self._begin()
        self.is_reading = False

    def feed(self, data: memoryview) -> None:
        """Take what came; ``give`` is called from here.

        Raises:
            NotHttp: it is not HTTP/1.1, or its head has no end.
            PayloadTooLarge: the body is, or says so. ``request`` tells of what.
        """
        self._head_bytes += len(data)
        while len(data):
            data = data[self._parse(data) :]
        if self.is_reading and self._head_bytes > MOST_HEAD_BYTES:
            raise NotHttp(431, _HEAD_TOO_LARGE)

    def _parse(self, data: memoryview) -> int:
        """Take what came as far as the parser goes; how far that is."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as offer:
            taken = int(offer.args[0])
        except HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except HttpParserError as error:
            raise NotHttp(400, f"this is no HTTP/1.1: {error}") from error
        else:
            return len(data)
        self._decline()
        return taken

    def _decline(self) -> None:
        """Go on as if the request offered no other protocol: the parser would stop at its body.

        Another parser is brought to where this one is, behind a head that frames the same body.
        """
        framing = ("content-length", "transfer-encoding", "connection")
        fields = [f"{name}: {self._headers[name]}\r\n" for name in framing if name in self._headers]
        version = self._parser.get_http_version()
        head = f"POST / HTTP/{version}\r\n{''.join(fields)}\r\n".encode("latin-1")
        self._parser = HttpRequestParser(self)
        self._declines = True
        self._parse(memoryview(head))

    def request(self, body: bytes = b"") -> Request:
        """The request, once its head has come."""
        method = self._method
        return Request(
            "GET" if method == _HEAD else method.decode(),
            self._path,
            self._headers,
            body,
            request_id(self._headers),
            received=perf_counter(),
        )

    # What the parser calls

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._declines:
            self._begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target, of which there may be several."""
        if not self._declines:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or behind a chunked body."""
        if self.is_in_body:
            return  # A trailer must not pass for a header: RFC 9110, section 6.5.1
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers = self._headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """What follows is the body."""
        if self._declines:
            return
        if self._head_bytes > MOST_HEAD_BYTES and self._head_size() > MOST_HEAD_BYTES:
            raise NotHttp(431, _HEAD_TOO_LARGE)
        self.is_in_body = True
        self._head_bytes = 0
        self._method, self._path = self._parser.get_method(), _path(self._url)
        length = self._headers.get("content-length", "0")
        if int(length) > self._most_body_bytes:
            raise PayloadTooLarge.body(int(length), self._most_body_bytes)
        self.asks_to_continue = self._headers.get("expect", "").lower() == "100-continue"

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._head_bytes = 0
        self.body_bytes += len(part)
        if self.body_bytes > self._most_body_bytes:
            raise PayloadTooLarge.body(self.body_bytes, self._most_body_bytes)
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """The request is whole."""
        parts, parser = self._parts, self._parser
        if parser.should_upgrade():
            return  # It is not: see `_decline`.
        self.is_reading = self.is_in_body = self._declines = False
        self._head_bytes = 0
        request = self.request(parts[0] if len(parts) == 1 else b"".join(parts))
        may_follow = parser.should_keep_alive()
        if may_follow and "connection" in self._headers:
            may_follow = parser.get_http_version() == "1.1"  # 1.0 would have to be told
        self._give(request, may_follow, self._method == _HEAD)

    def _head_size(self) -> int:
        """About: what came with it in one piece may be more than it."""
        return len(self._url) + sum(len(n) + len(v) + 4 for n, v in self._headers.items())

    def _begin(self) -> None:
        self.is_reading = True
        self._url = b""
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self.body_bytes = 0


def _path(target: bytes) -> str:
    """The path of a request's target, without its query; it may be a whole URL.

    Raises:
        NotHttp: it is none.
    """
    if b"://" in target and target[:1] != b"/":
        try:
            target = parse_url(target).path or b"/"
        except HttpParserError as error:
            raise NotHttp(400, f"this is no URL: {error}") from error
    return target.partition(b"?")[0].decode("latin-1")


_request_numbers = count(int.from_bytes(os.urandom(8), "big"))


def request_id(headers: dict[str, str]) -> str:
    """The caller's or proxy's own, where it is fit for a log; else a new one."""
    given = headers.get("x-request-id")
    if given and given.isprintable() and len(given) <= _LONGEST_REQUEST_ID:
        return given
    return f"{next(_request_numbers) & 0xFFFF_FFFF_FFFF_FFFF:016x}"
