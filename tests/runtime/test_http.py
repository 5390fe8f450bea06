"""HTTP as clients speak it, well and badly, to a real server."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runtime.http_server import Answer, Server, serving
from tests.runtime.planes import DIGITS

SAMPLES = json.loads(DIGITS.with_name("samples.json").read_text())
EIGHT = {"features": SAMPLES[8]["pixels"]}
LIMIT = 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("http")
    with serving(
        folder,
        DIGITS,
        INFERENCE_MAX_REQUEST_BYTES=str(LIMIT),
        INFERENCE_READ_TIMEOUT_SECONDS="1",
        INFERENCE_CORS_ORIGINS="https://a.org",
    ) as started:
        yield started


def label(answer: Answer) -> int:
    assert answer.status == 200, answer.body
    found: int = answer.json["predictions"]["label"]
    return found


def chunked(body: bytes, size: int = 7) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def exchange(server: Server, *parts: bytes) -> bytes:
    """What comes back on one connection until the server closes it."""
    with server.connect() as connection:
        for part in parts:
            connection.sendall(part)
        return everything(connection)


def everything(connection: socket.socket) -> bytes:
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def head(method: str, path: str, *fields: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()


def one_answer(connection: socket.socket) -> bytes:
    """One answer with a Content-Length, headers and all."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    start, _, body = answer.partition(b"\r\n\r\n")
    length = int(start.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return start + b"\r\n\r\n" + body


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample["label"]))
def test_predictions_are_right(server: Server, sample: dict[str, Any]) -> None:
    assert label(server.ask("POST", "/predict", {"features": sample["pixels"]})) == sample["label"]


def test_a_connection_serves_several_requests(server: Server) -> None:
    body = json.dumps(EIGHT).encode()
    request = head("POST", "/predict", f"Content-Length: {len(body)}") + body
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(request)
            assert b'"label":8' in one_answer(connection)


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    requests = [head("GET", path) for path in ("/v2", "/v2/health/live")]
    last = head("GET", "/health", "Connection: close")
    answers = exchange(server, b"".join([*requests, last]))
    places = [answers.index(part) for part in (b"inference-runtime", b'"live"', b'"model_version"')]
    assert places == sorted(places)


def test_http_1_0_gets_one_answer(server: Server) -> None:
    answer = exchange(server, b"GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer


def test_a_whole_url_is_a_target_too(server: Server) -> None:
    fields = ("Connection: close",)
    assert b'"live":true' in exchange(
        server, head("GET", "http://localhost/v2/health/live?a=b", *fields)
    )


def test_a_trailer_is_no_header(server: Server) -> None:
    body = gzip.compress(json.dumps(EIGHT).encode())
    parts = chunked(body).removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"
    fields = ("Transfer-Encoding: chunked", "Connection: close")
    assert exchange(server, head("POST", "/predict", *fields), parts).startswith(b"HTTP/1.1 400 ")


def test_a_client_may_send_many_requests_before_it_reads(server: Server) -> None:
    """More than the kernel keeps of the answers, so that they wait for the client."""
    count = 20_000
    requests = head("GET", "/v2/models/m/config") * count + head("GET", "/", "Connection: close")
    with server.connect() as connection:
        threading.Thread(target=connection.sendall, args=(requests,)).start()
        time.sleep(0.5)
        assert label(server.ask("POST", "/predict", EIGHT)) == 8
        assert everything(connection).count(b"HTTP/1.1 200 ") == count


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunked_bodies_are_read(server: Server, size: int) -> None:
    fields = ("Transfer-Encoding: chunked", "Connection: close")
    body = chunked(json.dumps(EIGHT).encode(), size)
    assert b'"label":8' in exchange(server, head("POST", "/predict", *fields), body)


def test_compressed_bodies_are_read(server: Server) -> None:
    body = gzip.compress(json.dumps(EIGHT).encode())
    assert label(server.ask("POST", "/predict", body, Content_Encoding="gzip")) == 8


def test_a_client_may_wait_for_100_continue(server: Server) -> None:
    body = json.dumps(EIGHT).encode()
    fields = (f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close")
    with server.connect() as connection:
        connection.sendall(head("POST", "/predict", *fields))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b'"label":8' in everything(connection)


def test_a_body_that_is_refused_is_not_asked_for(server: Server) -> None:
    fields = (f"Content-Length: {LIMIT + 1}", "Expect: 100-continue")
    with server.connect() as connection:
        connection.sendall(head("POST", "/predict", *fields))
        assert one_answer(connection).startswith(b"HTTP/1.1 413 ")


def test_head_is_get_without_a_body(server: Server) -> None:
    got, asked = server.ask("GET", "/health"), server.ask("HEAD", "/health")
    assert (asked.status, asked.body) == (200, b"")
    assert asked.headers["content-length"] == got.headers["content-length"] != "0"


def test_a_browser_may_ask_first(server: Server) -> None:
    answer = server.ask("OPTIONS", "/predict", Origin="https://a.org")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "https://a.org"


def test_a_method_that_a_path_does_not_take_is_refused(server: Server) -> None:
    answer = server.ask("DELETE", "/predict")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.json["error"]["code"] == "METHOD_NOT_ALLOWED"


def test_a_path_is_decoded_once(server: Server) -> None:
    assert server.ask("GET", "/v2/models/%6d").status == 200
    assert server.ask("GET", "/v2/models/%256d").json["error"].startswith("unknown model '%6d'")


def test_the_query_is_no_part_of_the_path(server: Server) -> None:
    assert server.ask("GET", "/health?deep=1").status == 200


def test_the_callers_request_id_is_in_the_log(server: Server) -> None:
    server.ask("POST", "/predict", EIGHT, X_Request_Id="caller-1")
    server.ask("POST", "/predict", EIGHT, X_Request_Id="x" * 1000)
    server.ask("POST", "/predict", EIGHT)
    first, *rest = server.requests[-3:]
    assert first["request_id"] == "caller-1"
    assert all(len(line["request_id"]) == 16 for line in rest)
    assert {"queue_ms", "decode_ms", "run_ms", "encode_ms"} <= first.keys()


@pytest.mark.parametrize("length", [LIMIT + 1, 10**15])
def test_a_declared_length_past_the_limit_is_refused_at_once(server: Server, length: int) -> None:
    with server.connect() as connection:
        connection.sendall(head("POST", "/predict", f"Content-Length: {length}"))
        answer = one_answer(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"PAYLOAD_TOO_LARGE" in answer
    assert b"at most 100,000 are allowed" in answer


def test_a_body_that_grows_past_the_limit_is_refused_before_its_end(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head("POST", "/predict", "Transfer-Encoding: chunked"))
        connection.sendall(b"%x\r\n%b\r\n" % (LIMIT + 1, bytes(LIMIT + 1)))
        assert one_answer(connection).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_sends_all_of_a_refused_body_reads_the_refusal(server: Server) -> None:
    assert server.ask("POST", "/predict", bytes(LIMIT * 50)).status == 413


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n",
     b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
     b"GET http://a:99999999/ HTTP/1.1\r\nHost: a\r\n\r\n",
     b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_what_is_not_http_is_refused(server: Server, garbage: bytes) -> None:
    assert b"HTTP/1.1 400 " in exchange(server, garbage)


def test_an_endless_head_is_refused(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b""),
        (b"POST /predict HT", b"HTTP/1.1 408 "),
        (b"POST /predict HTTP/1.1\r\nHost: a\r\n", b"HTTP/1.1 408 "),
        (b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 408 "),
    ],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_a_request_that_is_not_whole_in_time_is_dropped(
    server: Server, sent: bytes, answered: bytes
) -> None:
    assert exchange(server, sent).startswith(answered)
    assert label(server.ask("POST", "/predict", EIGHT)) == 8


def test_the_time_to_send_is_for_the_whole_request(server: Server) -> None:
    """A byte now and then does not win a slow client more time."""
    with server.connect() as connection:
        connection.settimeout(0.2)
        sent = 0
        answer = b""
        for byte in head("GET", "/health", "X-Slow: " + "x" * 100):
            connection.sendall(bytes([byte]))
            sent += 1
            try:
                answer = connection.recv(100)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 3 <= sent <= 8
