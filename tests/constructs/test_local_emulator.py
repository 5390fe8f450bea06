"""The emulator's process: it starts, it answers, and nothing of it stays behind."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cdk_inference.local import LocalError, find, recorded, running, start
from cdk_inference.local.emulator import Emulator
from cdk_inference.local.processes import start_time


def eventually(condition: Callable[[], bool], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def refuses_connections(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_it_answers_on_loopback_only_and_ends_with_its_block(tmp_path: Path) -> None:
    with running(tmp_path) as emulator:
        connection = http.client.HTTPConnection("127.0.0.1", emulator.port)
        connection.request("GET", "/_ministack/health")
        assert connection.getresponse().status == 200
        connection.close()
        assert emulator.url == f"http://127.0.0.1:{emulator.port}"
        assert find(tmp_path) == emulator
        assert "AWS::Lambda::Function" in emulator.resource_types()
        assert (tmp_path / "scratch").is_dir()

    assert not emulator.is_alive()
    assert refuses_connections(emulator.port)
    assert [file.name for file in tmp_path.iterdir()] == ["emulator.log"]


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from cdk_inference.local import start\n"
        "start(pathlib.Path(sys.argv[1]), tied=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL

    emulator = recorded(tmp_path)
    assert emulator is not None
    assert eventually(lambda: not emulator.is_alive())
    assert eventually(lambda: not (tmp_path / "scratch").exists())


def test_untied_it_outlives_its_parent_until_it_is_stopped(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "from cdk_inference.local import start\n"
        "start(pathlib.Path(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)

    emulator = find(tmp_path)
    assert emulator.is_alive()
    emulator.stop()
    assert eventually(lambda: not emulator.is_alive())
    assert recorded(tmp_path) is None


def test_a_folder_has_one_emulator(tmp_path: Path) -> None:
    with running(tmp_path) as emulator:
        with pytest.raises(LocalError, match=rf"already running .* port {emulator.port}"):
            start(tmp_path)
        assert emulator.is_alive()


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LocalError, match=f"Port {port} cannot be used.*leave --port out"):
            start(tmp_path, port=port)
    assert recorded(tmp_path) is None


def test_a_port_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="Port 70000 cannot be used"):
        start(tmp_path, port=70000)


def test_none_running_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No emulator is running here"):
        find(tmp_path)


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1], ids=["reused", "gone"])
def test_a_dead_one_is_told_from_what_took_its_process_id(tmp_path: Path, pid: int) -> None:
    record = {"pid": pid, "port": 4566, "started": "in another life"}
    (tmp_path / "emulator.json").write_text(json.dumps(record))

    with pytest.raises(LocalError, match=r"on port 4566 .* has died"):
        find(tmp_path)

    dead = recorded(tmp_path)
    assert dead is not None
    dead.stop()
    assert start_time(os.getpid()) is not None, "stopping a dead emulator kills nobody else"
    assert recorded(tmp_path) is None


def test_a_broken_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "emulator.json").write_text("{}")
    with pytest.raises(LocalError, match=r"emulator\.json is not a record .* remove that file"):
        recorded(tmp_path)


def test_one_that_cannot_start_shows_its_log_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/ls")

    with pytest.raises(LocalError, match="ended while it was starting"):
        start(tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == ["emulator.log"]


def test_start_times_tell_processes_apart() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = start_time(child.pid)
    assert started is not None
    assert start_time(child.pid) == started
    child.communicate()
    assert start_time(child.pid) is None


def test_the_dead_are_not_alive(tmp_path: Path) -> None:
    assert not Emulator(tmp_path, pid=2**22 + 1, port=1, started="1").is_alive()
