"""Requests that come together are answered together, within bounds."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from inference_runtime.adapters.http.server import Server

from tests.runtime import planes
from tests.runtime.http_server import HOST


class Client:
    """A connection that tells when it is answered, and when that is written."""

    def __init__(self, number: int, told: list[str], seconds: float = 0.0) -> None:
        self._number = number
        self._told = told
        self._seconds = seconds

    def answer_next(self) -> None:
        time.sleep(self._seconds)
        self._told.append(f"answer {self._number}")

    def flush(self) -> None:
        self._told.append(f"write {self._number}")


@pytest.fixture
def server() -> Iterator[Server]:
    plane = planes.unloaded()
    with socket.create_server((HOST, 0)) as listener:
        yield Server(plane, plane.settings, listener)


def told_of(server: Server, count: int, seconds: float = 0.0) -> list[str]:
    told: list[str] = []
    for number in range(count):
        server.answer_soon(Client(number, told, seconds))  # type: ignore[arg-type]
    server.loop.call_soon(server.loop.stop)
    server.loop.run()
    return told


def turns(told: list[str]) -> list[int]:
    """How many were answered before each time that answers were written."""
    sizes = [0]
    for before, one in zip([*told], [*told[1:], ""], strict=True):
        sizes[-1] += before.startswith("answer")
        if before.startswith("write") and one.startswith("answer"):
            sizes.append(0)
    return sizes


def test_all_are_answered_before_the_first_is_written(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else a busy machine could take longer over them than a turn lasts.
    monkeypatch.setattr("inference_runtime.adapters.http.server.perf_counter", lambda: 0.0)
    expected = [f"{what} {number}" for what in ("answer", "write") for number in range(5)]
    assert told_of(server, 5) == expected


def test_a_turn_has_32_requests_at_most(server: Server) -> None:
    told = told_of(server, 100)
    assert len(set(told)) == len(told) == 200
    assert max(turns(told)) <= 32


def test_answers_do_not_wait_for_slow_ones_behind_them(server: Server) -> None:
    assert turns(told_of(server, 10, seconds=0.003)) == [1] * 10
