"""HTTP/1.1 as the Runtime API clients must understand it, from a server that says what it likes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from inference_runtime.adapters.lambda_connection import Connection

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"content-length: 0\r\n\r\n"


class Server:
    """Says one connection's lines to each that connects: an answer for each request, in pieces."""

    def __init__(self, *connections: list[list[bytes]]) -> None:
        self.requests: list[bytes] = []
        self._connections = connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._serve)

    def _serve(self) -> None:
        for answers in self._connections:
            connection, _ = self._listener.accept()
            with connection:
                for pieces in answers:
                    self.requests.append(connection.recv(1 << 20))
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(0.01)

    @contextmanager
    def running(self) -> Iterator[Connection]:
        self._thread.start()
        yield Connection(self.address)
        self._thread.join(5)
        self._listener.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [OK + b"Content-Length: 5\r\n\r\nhello"],
        [OK + b"content-LENGTH:5\r\n", b"\r\n", b"he", b"llo"],
        [bytes([byte]) for byte in OK + b"content-length: 5\r\n\r\nhello"],
        [OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r", b"\n3\r\nllo\r\n", b"0\r\n\r\n"],
    ],
)
def test_answers_are_read_however_they_come(pieces: list[bytes]) -> None:
    with Server([pieces, pieces]).running() as connection:
        for _ in range(2):
            response = connection.call("GET", "/next")
            assert (response.status, response.body) == (200, b"hello")


def test_headers_are_known_by_their_lower_case_names() -> None:
    answer = OK + b"X-Some-Thing:  a: b \r\ncontent-length: 0\r\n\r\n"
    with Server([[answer]]).running() as connection:
        assert connection.call("GET", "/").headers["x-some-thing"] == "a: b"


def test_bodies_are_sent_with_their_length_or_in_a_chunk() -> None:
    server = Server([[EMPTY], [EMPTY]])
    with server.running() as connection:
        connection.call("POST", "/plain", {"a": "b"}, b"hello")
        connection.call("POST", "/chunked", {"a": "b"}, b"hello", chunked=True)
    plain, chunked = server.requests
    host = f"host: {server.address}".encode()
    assert plain == b"POST /plain HTTP/1.1\r\n%b\r\ncontent-length: 5\r\na: b\r\n\r\nhello" % host
    assert chunked == (
        b"POST /chunked HTTP/1.1\r\n%b\r\ntransfer-encoding: chunked\r\na: b\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\n" % host
    )


def test_a_connection_that_the_server_ended_is_renewed() -> None:
    server = Server([[EMPTY]], [[EMPTY]])
    with server.running() as connection:
        connection.call("GET", "/first")
        time.sleep(0.05)
        assert connection.call("GET", "/second").status == 200
    assert [request.split()[1] for request in server.requests] == [b"/first", b"/second"]


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1", OK, OK + b"content-length: 5\r\n\r\nhell"])
def test_an_answer_that_is_cut_twice_is_an_error(cut: bytes) -> None:
    with Server([[cut]], [[cut]]).running() as connection, pytest.raises(ConnectionError):
        connection.call("GET", "/next")


def test_an_interrupted_wait_ends_at_once_and_no_other_begins() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    connection = Connection(f"127.0.0.1:{listener.getsockname()[1]}")
    errors: list[Exception] = []

    def wait() -> None:
        try:
            connection.call("GET", "/next")
        except ConnectionError as error:
            errors.append(error)

    waiter = Thread(target=wait)
    waiter.start()
    time.sleep(0.05)
    connection.interrupt()
    waiter.join(1)
    assert not waiter.is_alive()
    assert str(errors[0]) == "interrupted"
    listener.close()
