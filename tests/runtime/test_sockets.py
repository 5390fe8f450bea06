"""What comes over a connection, however it is cut."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from threading import Thread

import pytest
from inference_runtime.sockets import Stream

LARGE = os.urandom(3 << 20)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Stream]]:
    """One end of a connection, and what comes out of the other."""
    here, there = socket.socketpair()
    with here, there:
        yield here, Stream(there)


def send(end: socket.socket, *pieces: bytes) -> Thread:
    """The pieces, with pauses, and then the end."""

    def run() -> None:
        for piece in pieces:
            end.sendall(piece)
            time.sleep(0.01)
        end.shutdown(socket.SHUT_WR)

    thread = Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("cut", [0, 1, 7, 1 << 20])
def test_a_body_is_whole_whatever_came_with_the_line_before(
    ends: tuple[socket.socket, Stream], cut: int
) -> None:
    end, stream = ends
    sender = send(end, b"head\r\n" + LARGE[:cut], LARGE[cut:] + b"next\n")
    assert stream.line() == "head"
    assert stream.exactly(len(LARGE)) == LARGE
    assert stream.line() == "next"
    sender.join()


def test_nothing_is_waited_for_where_nothing_is_to_come(
    ends: tuple[socket.socket, Stream],
) -> None:
    assert ends[1].exactly(0) == b""


def test_an_end_inside_a_body_or_a_line_is_told(ends: tuple[socket.socket, Stream]) -> None:
    end, stream = ends
    sender = send(end, b"head\nfour", b"more, without an end")
    stream.line()
    assert stream.exactly(4) == b"four"
    with pytest.raises(ConnectionResetError, match="ended 80 bytes too early"):
        stream.exactly(100)
    with pytest.raises(ConnectionResetError, match="before a line did"):
        stream.line()
    sender.join()
