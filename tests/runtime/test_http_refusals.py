"""What a real server answers to HTTP that it does not take, and to clients that offer HTTP/2."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPResponse, parse_headers
from io import BufferedReader
from typing import Any

import pytest

from tests.runtime.http_server import Server, serving
from tests.runtime.planes import DIGITS

SAMPLES = json.loads(DIGITS.with_name("samples.json").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("refusals")
    with serving(folder, DIGITS, INFERENCE_READ_TIMEOUT_SECONDS="1") as started:
        yield started


def ask(server: Server, *pieces: bytes) -> tuple[int, str | None, Any]:
    """Status, content type and JSON of the first answer to ``pieces`` on one connection."""
    with server.connect() as connection:
        for piece in pieces:
            connection.sendall(piece)
        response = HTTPResponse(connection)
        response.begin()
        return response.status, response.getheader("content-type"), json.loads(response.read())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: a\r\n", 408),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000, 431),
    ],
    ids=["version", "path", "timeout", "head"],
)
def test_a_refusal_below_the_data_plane_is_an_error_like_any_other(
    server: Server, sent: bytes, status: int
) -> None:
    answered, content_type, body = ask(server, sent)
    assert (answered, content_type) == (status, "application/json")
    assert body["error"]


def test_a_head_that_comes_at_once_is_bounded_like_one_that_comes_in_pieces(
    server: Server,
) -> None:
    status, _, _ = ask(server, b"GET /health HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n")
    assert status == 431


OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
)
BODY = json.dumps({"features": SAMPLES[8]["pixels"]}).encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
NEXT = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(("framing", "body"), [(LENGTH, BODY), (CHUNKED, CHUNKS)])
@pytest.mark.parametrize("packets", [1, 2])
def test_the_body_of_a_client_that_offers_http_2_is_read(
    server: Server, framing: bytes, body: bytes, packets: int
) -> None:
    """Java's HttpClient, Spring's among them, offers it in every first request by default."""
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\n%b%b\r\n" % (framing, OFFER)
    pieces = [head + body + NEXT] if packets == 1 else [head, body + NEXT]
    with server.connect() as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.1)
        file = connection.makefile("rb")
        assert answer(file)["predictions"]["label"] == SAMPLES[8]["label"]
        assert answer(file)["status"] == "ok"


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"anything"])
def test_a_body_behind_an_offer_is_no_request(server: Server, protocol: bytes) -> None:
    """Behind a proxy that keeps connections, its answer would be another caller's."""
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %b\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(NEXT)
    with server.connect() as connection:
        connection.sendall(head % protocol + length)
        time.sleep(0.1)
        connection.sendall(NEXT)
        connection.settimeout(0.5)
        answers = b""
        with suppress(TimeoutError):
            while part := connection.recv(65536):
                answers += part
    assert answers.count(b"HTTP/1.1 ") == 1


def answer(file: BufferedReader) -> Any:
    """The JSON of the next answer, which is a success."""
    assert file.readline().startswith(b"HTTP/1.1 200 ")
    headers = parse_headers(file)
    return json.loads(file.read(int(headers["content-length"])))
