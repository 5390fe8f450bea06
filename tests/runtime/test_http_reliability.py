"""Under load, with slow models and bad clients, and at the end: real servers, real signals."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.runtime import onnx_models
from tests.runtime.http_load import Call, Report, load, post
from tests.runtime.http_server import (
    HOST,
    SERVE,
    Answer,
    Server,
    eventually,
    launched,
    serving,
)  # fmt: skip
from tests.runtime.planes import DIGITS

SAMPLES = json.loads(DIGITS.with_name("samples.json").read_text())
# The model of `onnx_models.counter` counts about a million a second.
QUICK, BRIEF, SLOW, ENDLESS = 1, 500_000, 1_000_000, 10**12
WAIT_TO_LOAD = """
import sys
from inference_runtime.cli.main import main
from inference_runtime.engine import selection

load = selection.load
selection.load = lambda *given, **named: sys.stdin.read() or load(*given, **named)
main(["serve", *sys.argv[1:]])
"""


@pytest.fixture
def digits_server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, DIGITS, INFERENCE_REQUEST_LOG="errors") as server:
        yield server


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("counter") / "counter.onnx"
    onnx_models.save(onnx_models.counter(), path)
    return path


def count_to(server: Server, number: int) -> Answer:
    return server.ask("POST", "/predict", {"features": [number]})


def digit_calls(server: Server) -> list[Call]:
    """Ten different requests, each with its answer."""
    bodies = [json.dumps({"features": sample["pixels"]}).encode() for sample in SAMPLES]
    answers = [server.ask("POST", "/predict", body) for body in bodies]
    assert [answer.json["predictions"]["label"] for answer in answers] == list(range(10))
    return [
        Call(post("/predict", body), answer.json)
        for body, answer in zip(bodies, answers, strict=True)
    ]


def under_load(server: Server, connections: int, requests: int) -> Report:
    return asyncio.run(load(HOST, server.port, digit_calls(server), connections, requests))


def background(call: Callable[[], Answer]) -> Future[Answer]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def is_idle(server: Server) -> bool:
    """Whether it uses less than a tenth of a processor."""
    before = server.cpu_seconds()
    time.sleep(0.3)
    return server.cpu_seconds() - before < 0.03


def established(server: Server) -> int:
    """Connections that the server holds: proc_net_tcp, local address and state of each."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    states = [(fields[1], fields[3]) for fields in map(str.split, lines)]
    return sum(local.endswith(f":{server.port:04X}") and state == "01" for local, state in states)


def test_ten_thousand_requests_at_200_connections(digits_server: Server) -> None:
    """No error, the right answer each, and memory that does not grow from the half on."""
    warm = under_load(digits_server, 200, 5_000)
    halfway = digits_server.resident_bytes()
    report = under_load(digits_server, 200, 10_000)
    assert not warm.errors
    assert not report.errors
    assert report.right == 10_000
    assert digits_server.resident_bytes() - halfway < 4 * 1024 * 1024
    assert not digits_server.requests  # Its log has errors only.


def test_it_is_live_at_once_and_ready_when_the_model_is_loaded(tmp_path: Path) -> None:
    """It loads once standard input is closed."""
    arguments = [SERVE[0], "-c", WAIT_TO_LOAD, "--model", str(DIGITS), "--port", "0"]
    with launched(tmp_path, arguments, {}, stdin=True) as server:
        server.port = server.wait_for("listening")["port"]
        assert server.ask("GET", "/v2/health/live").status == 200
        assert server.ask("GET", "/v2/health/ready").status == 503
        for method, path in (("GET", "/health"), ("POST", "/predict")):
            answer = server.ask(method, path, {"features": SAMPLES[0]["pixels"]})
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert server.process.stdin
        server.process.stdin.close()
        server.wait_for("ready")
        assert server.ask("GET", "/v2/health/ready").status == 200


def test_a_model_that_cannot_be_loaded_ends_the_process(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with launched(tmp_path, [*SERVE, "--model", str(broken), "--port", "0"], {}) as server:
        assert server.process.wait(timeout=30) == 1
        (failure,) = [line for line in server.log if line["message"] == "start failed"]
        assert failure["error"] == "MODEL_NOT_LOADED"
        assert str(broken) in failure["detail"]


def test_a_slow_run_ends_at_its_deadline(tmp_path: Path, counter: Path) -> None:
    with serving(tmp_path, counter, INFERENCE_TIMEOUT_SECONDS="0.5") as server:
        start = time.monotonic()
        answer = count_to(server, ENDLESS)
        assert 0.5 <= time.monotonic() - start < 5
        assert (answer.status, answer.json["error"]["code"]) == (504, "DEADLINE_EXCEEDED")
        eventually(lambda: is_idle(server))
        assert server.requests[-1]["error"] == "DEADLINE_EXCEEDED"


def test_a_run_that_waits_past_its_deadline_is_not_begun(tmp_path: Path, counter: Path) -> None:
    settings = {"INFERENCE_TIMEOUT_SECONDS": "0.5", "INFERENCE_CONCURRENCY": "1"}
    with serving(tmp_path, counter, **settings) as server:
        both = [background(lambda: count_to(server, ENDLESS)) for _ in range(2)]
        assert [future.result().status for future in both] == [504, 504]
        assert count_to(server, QUICK).json["predictions"] == [QUICK]


def test_what_is_pipelined_behind_a_slow_run_waits_for_it(tmp_path: Path, counter: Path) -> None:
    with serving(tmp_path, counter) as server, server.connect() as client:
        slow, quick = (
            post("/predict", json.dumps({"features": [number]}).encode()) for number in (BRIEF, 7)
        )
        last = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        client.sendall(slow + quick + last)
        answers = b""
        while part := client.recv(65536):
            answers += part
        places = [answers.index(b"[%d]" % number) for number in (BRIEF, 7)]
        assert places == sorted(places)
        assert answers.count(b"HTTP/1.1 200 ") == 3
        assert answers.index(b'"status"') > places[1]


def test_a_server_that_can_hold_no_more_connections_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path, DIGITS) as server, ExitStack() as clients:
        time.sleep(0.5)  # until it has imported what it imports behind its first answer
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (40, 40))
        for _ in range(60):
            clients.enter_context(server.connect())
        server.wait_for("no more connections for a moment")
        assert is_idle(server)
        clients.close()
        assert server.ask("GET", "/health").status == 200


def test_a_client_that_hangs_up_ends_its_run(tmp_path: Path, counter: Path) -> None:
    with serving(tmp_path, counter) as server:
        body = json.dumps({"features": [ENDLESS]}).encode()
        with server.connect() as connection:
            connection.sendall(post("/predict", body))
            eventually(lambda: not is_idle(server))
        eventually(lambda: is_idle(server))
        (gone,) = eventually(lambda: server.requests)
        assert (gone["status"], gone["error"], gone["fault"]) == (499, "CLIENT_GONE", "client")


def test_a_client_that_hangs_up_within_its_request_is_no_error(
    digits_server: Server,
) -> None:
    with digits_server.connect() as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
    (gone,) = eventually(lambda: digits_server.requests)
    assert gone["error"] == "CLIENT_GONE"
    assert digits_server.ask("GET", "/health").status == 200


def test_beyond_the_queue_requests_are_turned_away(tmp_path: Path, counter: Path) -> None:
    settings = {"INFERENCE_CONCURRENCY": "1", "INFERENCE_MAX_QUEUE": "1"}
    with serving(tmp_path, counter, **settings) as server, ExitStack() as clients:
        for _ in range(2):
            client = clients.enter_context(server.connect())
            client.sendall(post("/predict", json.dumps({"features": [ENDLESS]}).encode()))
        eventually(lambda: count_to(server, QUICK).status == 429)
        answer = server.ask("POST", "/v2/models/m/infer", {"inputs": []})
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert isinstance(answer.json["error"], str)
        # Health is told however busy the threads are, and room is made by who leaves.
        assert server.ask("GET", "/v2/health/ready").status == 200
        clients.close()
        eventually(lambda: count_to(server, QUICK).status == 200)


def test_bodies_on_their_way_are_bounded_too(tmp_path: Path) -> None:
    with serving(tmp_path, DIGITS, INFERENCE_MAX_QUEUE="1") as server, ExitStack() as clients:
        part = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"
        first, second = (clients.enter_context(server.connect()) for _ in range(2))
        first.sendall(part)
        time.sleep(0.2)
        second.sendall(part)
        assert second.recv(100).startswith(b"HTTP/1.1 429 ")
        # A request that comes whole is not held up.
        assert server.ask("POST", "/predict", {"features": SAMPLES[1]["pixels"]}).status == 200


def test_a_client_that_does_not_read_its_answer_is_dropped(tmp_path: Path) -> None:
    """Its answer has 40 MB, more than the kernel keeps."""
    model = onnx_models.save(onnx_models.zeros(), tmp_path / "zeros.onnx")
    count = {"name": "count", "shape": [1], "datatype": "INT64", "data": [10_000_000]}
    asked = {"inputs": [count], "parameters": {"binary_data_output": True}}
    with (
        serving(tmp_path, model, INFERENCE_KEEP_ALIVE_SECONDS="1") as server,
        server.connect() as client,
    ):
        client.sendall(post("/v2/models/m/infer", json.dumps(asked).encode()))
        assert client.recv(1)
        eventually(lambda: established(server) == 1)
        eventually(lambda: established(server) == 0)


def test_requests_that_share_runs_are_answered_right(tmp_path: Path) -> None:
    model = onnx_models.save(onnx_models.scaled(2.0), tmp_path / "scaled.onnx")
    bodies = [json.dumps({"features": [number, -number]}).encode() for number in range(50)]
    with serving(tmp_path, model, INFERENCE_BATCHING="on") as server:
        answers = [server.ask("POST", "/predict", body) for body in bodies]
        assert [answer.json["predictions"][0] for answer in answers] == list(range(0, 100, 2))
        calls = [
            Call(post("/predict", body), answer.json)
            for body, answer in zip(bodies, answers, strict=True)
        ]
        report = asyncio.run(load(HOST, server.port, calls, 32, 1000))
    assert (report.right, report.errors) == (1000, {})


def test_a_fast_model_that_turns_slow_does_not_hold_up_others(
    tmp_path: Path, counter: Path
) -> None:
    """It ran on the event loop; the run that takes too long there is repeated on a thread."""
    with serving(tmp_path, counter) as server:
        for _ in range(30):
            assert count_to(server, QUICK).json["predictions"] == [QUICK]
        slow = background(lambda: count_to(server, SLOW))
        start = time.monotonic()
        while not slow.done():
            asked = time.monotonic()
            assert server.ask("GET", "/health").status == 200
            assert time.monotonic() - asked < 0.5
        assert time.monotonic() - start > 0.3
        assert slow.result().json["predictions"] == [SLOW]
        assert [line["status"] for line in server.requests] == [200] * 31


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_an_idle_server_ends_at_once(digits_server: Server, number: signal.Signals) -> None:
    with digits_server.connect() as idle:
        start = time.monotonic()
        digits_server.signal(number)
        assert digits_server.process.wait(timeout=10) == 0
        assert time.monotonic() - start < 3
        assert idle.recv(1) == b""
    assert [line["message"] for line in digits_server.log[-2:]] == ["stopping", "stopped"]


@pytest.mark.parametrize("field", ["", "Connection: close\r\n"], ids=["kept", "one each"])
def test_sigterm_under_load_drops_nothing(digits_server: Server, field: str) -> None:
    """Whether clients keep their connections or make one for each request."""
    calls = [
        Call(call.request.replace(b"\r\n", f"\r\n{field}".encode(), 1), call.answer)
        for call in digit_calls(digits_server)
    ]
    threading.Timer(1.0, digits_server.signal).start()
    report = asyncio.run(load(HOST, digits_server.port, calls, 64))
    assert digits_server.process.wait(timeout=10) == 0
    assert not report.errors
    assert report.right > 500
    with pytest.raises(ConnectionRefusedError):
        digits_server.connect()


def test_sigterm_lets_running_and_waiting_requests_end(tmp_path: Path, counter: Path) -> None:
    with serving(tmp_path, counter, INFERENCE_CONCURRENCY="1") as server:
        answers = [background(lambda: count_to(server, BRIEF)) for _ in range(3)]
        eventually(lambda: not is_idle(server))
        start = time.monotonic()
        server.signal()
        assert [answer.result().json["predictions"] for answer in answers] == [[BRIEF]] * 3
        assert "close" in [answer.result().headers.get("connection") for answer in answers]
        assert server.process.wait(timeout=10) == 0
        assert time.monotonic() - start < 10


def test_what_does_not_end_in_time_is_ended_and_answered(tmp_path: Path, counter: Path) -> None:
    with serving(tmp_path, counter) as server:
        endless = background(lambda: count_to(server, ENDLESS))
        eventually(lambda: not is_idle(server))
        start = time.monotonic()
        server.signal()
        assert server.process.wait(timeout=15) == 0
        assert time.monotonic() - start < 10
        answer = endless.result()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path, counter: Path) -> None:
    with serving(tmp_path, counter) as server:
        endless = background(lambda: count_to(server, ENDLESS))
        eventually(lambda: not is_idle(server))
        server.signal()
        server.wait_for("stopping")
        server.signal()
        assert server.process.wait(timeout=2) == 128 + signal.SIGTERM
        with pytest.raises((ConnectionError, OSError)):
            endless.result()
