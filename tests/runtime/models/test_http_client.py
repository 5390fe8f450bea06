"""HTTP by hand: every form of answer, and what is none."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from threading import Thread

import pytest
from inference_runtime import sockets
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.http_client import BrokenAnswer, Connection, read
from inference_runtime.models.store import Request

from tests.runtime.models.object_server import Fault, ObjectServer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Serve = Callable[[bytes], Request]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Has a server give these bytes to the next client, and end the connection."""
    listeners = []

    def _serve(answer: bytes) -> Request:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def give() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(answer)

        Thread(target=give, daemon=True).start()
        return Request(f"http://127.0.0.1:{listener.getsockname()[1]}/", {})

    yield _serve
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200\r\ncontent-length:5\r\n\r\nhello and more",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\n\nhello",
        CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    ],
    ids=["length", "length, no words", "to the end", "bare newlines", "chunks", "trailers"],
)
def test_every_form_of_body_is_read(serve: Serve, answer: bytes) -> None:
    assert read(serve(answer), timeout=5) == (200, b"hello")


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"HTTP/1.1 200 OK\r\nContent-", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 OK\r\n\r\n",
        b"x" * 200_000, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        CHUNKED + b"zz\r\nhello",
        CHUNKED + b"9\r\nhello",
    ],
    ids=[
        "nothing", "half a head", "another protocol", "no status", "no end of line", "short body",
        "no chunk size", "short chunk",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_told_from_one(serve: Serve, answer: bytes) -> None:
    with pytest.raises((BrokenAnswer, ConnectionResetError)):
        read(serve(answer), timeout=5)


def test_no_more_is_read_than_allowed(serve: Serve) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + b"x" * 50
    assert read(serve(answer), timeout=5, limit=9) == (200, b"x" * 9)


def test_a_limit_costs_no_memory(serve: Serve) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert read(serve(answer), timeout=5, limit=1 << 60) == (200, b"hello")


def test_the_first_address_that_takes_a_connection_is_used(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    found = socket.getaddrinfo("127.0.0.1", int(request.url.rpartition(":")[2].strip("/")))
    nobody = (*found[0][:4], ("127.0.0.1", 1))
    monkeypatch.setattr(sockets, "getaddrinfo", lambda *_: [nobody, found[0]])
    assert read(request, timeout=5) == (200, b"hello")
    monkeypatch.setattr(sockets, "getaddrinfo", lambda *_: [nobody, nobody])
    with pytest.raises(ConnectionRefusedError):
        read(request, timeout=5)
    monkeypatch.setattr(sockets, "getaddrinfo", lambda *_: [])
    with pytest.raises(OSError, match=r"127\.0\.0\.1 has no address"):
        read(request, timeout=5)


def test_silence_ends(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(TimeoutError):
            read(Request(url, {}), timeout=0.1)


def test_a_connection_is_kept_and_renewed(server: ObjectServer) -> None:
    server.objects["a"] = b"1234"
    peers = []
    server.fault = lambda r: Fault(headers={"Connection": "close"}) if len(peers) == 2 else None
    connection = Connection(5)
    for _ in range(5):
        answer = connection.send(Request(f"{server.url}/a", {}))
        peers.append(connection._socket.getsockname())  # type: ignore[union-attr]
        if len(peers) != 4:  # the fourth is left unread
            assert answer.read(100) == b"1234"
    assert peers[0] == peers[1] == peers[2], "kept"
    assert peers[2] != peers[3], "the server ended it"
    assert peers[3] != peers[4], "an answer was left unread"


@pytest.mark.parametrize("url", ["https://", "http:///path", "ftp://host/", "http://host:port/"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ModelNotLoaded, match="is no address of a web server"):
        Connection(1).send(Request(url, {}))
