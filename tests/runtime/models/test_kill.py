"""Processes that fetch, and are killed, compete, or run out of disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Event

import pytest
from inference_runtime.errors import ModelNotLoaded

from tests.runtime.models.conftest import AWS_KEYS, Fetch, cached_files
from tests.runtime.models.object_server import Fault, ObjectServer, Request
from tests.runtime.models.samples import padded, weights, with_data

NAME = "b/m.onnx"
RANGE = 1 << 16
MODEL = padded(10 * RANGE - 1000)

# Kills itself before the N-th call of a function; N above its calls lets it end well.
FETCH = """
import os, pkgutil, signal, sys
from inference_runtime.models import find_models, reader
reader.RANGE_BYTES = 1 << 16

def kill_at(owner, name, count):
    real = getattr(owner, name)
    left = [int(count)]
    def counted(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(owner, name, counted)

if len(sys.argv) > 1:
    owner, function, count = sys.argv[1:]
    kill_at(pkgutil.resolve_name(owner), function, count)
from inference_runtime.settings import Settings
files = find_models(Settings.read())[0].fetch()
print(files.path)
"""


def environ(server: ObjectServer, cache: Path, **given: str) -> dict[str, str]:
    return {
        "MODEL_URI": "s3://b/m.onnx", "AWS_ENDPOINT_URL_S3": server.url,
        "INFERENCE_CACHE_DIR": str(cache), "INFERENCE_FETCH_CONNECTIONS": "2", **AWS_KEYS, **given,
    }  # fmt: skip


def run(server: ObjectServer, cache: Path, *kill_at: str, **given: str) -> int:
    """The exit code of a process that fetches the model, killed where ``kill_at`` says."""
    ended = subprocess.run(
        [sys.executable, "-c", FETCH, *kill_at], env=environ(server, cache, **given),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode


# In a fetch


PHASES = [
    ("os", "makedirs", 1), ("os", "open", 1), ("os", "open", 2), ("os", "ftruncate", 0),
    ("os", "pwrite", 0), ("os", "pwrite", 1), ("os", "pwrite", 9), ("os", "ftruncate", 1),
    ("os", "rename", 0), ("os", "utime", 0),
]  # fmt: skip


@pytest.mark.parametrize("verified", [False, True], ids=["by etag", "verified"])
@pytest.mark.parametrize(("module", "function", "count"), PHASES)
def test_a_kill_in_any_phase_leaves_nothing_but_a_part(
    server: ObjectServer, cache: Path, fetch: Fetch, module: str, function: str, count: int,
    verified: bool,
) -> None:  # fmt: skip
    server.objects[NAME] = MODEL
    given = {"MODEL_SHA256": sha256(MODEL).hexdigest()} if verified else {}
    assert run(server, cache, module, function, str(count), **given) == -signal.SIGKILL
    assert set(cached_files(cache)) <= {"m.onnx", "m.onnx.part"}
    for whole in cache.rglob("m.onnx"):
        assert whole.read_bytes() == MODEL
    assert Path(fetch(**given).path).read_bytes() == MODEL
    assert cached_files(cache) == ["m.onnx"]


def starts(server: ObjectServer) -> list[int]:
    """Where the ranges of the model begin that were asked for."""
    return [request.start for request in server.requests_for(NAME)]


def test_the_next_process_goes_on_where_the_killed_one_stopped(
    server: ObjectServer, cache: Path
) -> None:
    server.objects[NAME] = MODEL
    alone = {"INFERENCE_FETCH_CONNECTIONS": "1"}  # so that it is killed within a request
    assert run(server, cache, "inference_runtime.models.part:Part", "complete", "3", **alone) < 0
    asked = server.fetched_bytes(NAME)
    assert run(server, cache) == 0
    again = server.fetched_bytes(NAME) - asked
    assert again <= 8 * RANGE, "more than the first range was fetched twice"
    (whole,) = cache.rglob("m.onnx")
    assert whole.read_bytes() == MODEL


def test_a_part_of_an_object_that_changed_is_not_resumed(
    server: ObjectServer, cache: Path, fetch: Fetch
) -> None:
    server.objects[NAME] = MODEL
    assert run(server, cache, "os", "pwrite", "9") < 0
    server.objects[NAME] = changed = padded(len(MODEL), seed=1)
    assert run(server, cache) == 0
    (whole,) = cache.rglob("m.onnx")
    assert whole.read_bytes() == changed
    assert cached_files(cache) == ["m.onnx"], "the part is removed"


@pytest.mark.parametrize(
    ("function", "count"), [("rename", 0), ("rename", 1), ("rename", 2), ("link", 0)]
)
@pytest.mark.parametrize("verified", [False, True], ids=["by etag", "verified"])
def test_a_kill_between_the_files_of_a_model(
    server: ObjectServer, cache: Path, fetch: Fetch, function: str, count: int, verified: bool
) -> None:
    server.objects = {
        NAME: with_data("w0", "w1").SerializeToString(), "b/w0": weights(0), "b/w1": weights(1),
    }  # fmt: skip
    names = {"model.onnx": NAME, "w0": "b/w0", "w1": "b/w1"}
    lines = [f"{sha256(server.objects[key]).hexdigest()}  {name}\n" for name, key in names.items()]
    digest = sha256("".join(lines).encode()).hexdigest()
    given = {"MODEL_SHA256": digest} if verified else {}
    killed = run(server, cache, "os", function, str(count), **given)
    assert killed < 0 or (verified and function == "link"), "only a digest needs no link"
    folder = Path(fetch(**given).path).parent
    for name in ("w0", "w1"):
        assert (folder / name).read_bytes() == server.objects[f"b/{name}"]


# In an eviction


# Of two entries, the ONNX file alone and with its data: each file, each folder, each lock.
@pytest.mark.parametrize(
    ("function", "count"),
    [*[("unlink", count) for count in range(6)], ("rmdir", 0), ("rmdir", 1)],
)
def test_a_kill_in_an_eviction_leaves_entries_that_are_whole_or_made_anew(
    server: ObjectServer, cache: Path, function: str, count: int
) -> None:
    server.objects = {
        NAME: with_data("w0", "w1").SerializeToString(), "b/w0": weights(0), "b/w1": weights(1),
        "b/other.onnx": padded(5000),
    }  # fmt: skip
    assert run(server, cache) == 0
    other = {"MODEL_URI": "s3://b/other.onnx", "INFERENCE_DISK_CACHE_BYTES": "5300"}
    assert run(server, cache, "os", function, str(count), **other) == -signal.SIGKILL
    assert run(server, cache, **other) == 0
    assert run(server, cache) == 0
    for name in ("w0", "w1"):
        assert [path.read_bytes() for path in cache.rglob(name)] == [server.objects[f"b/{name}"]]


# Several processes


def launch(server: ObjectServer, cache: Path, **given: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH], env=environ(server, cache, **given),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def result(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out.splitlines()[-1]


def test_of_several_processes_exactly_one_fetches(server: ObjectServer, cache: Path) -> None:
    server.objects[NAME] = MODEL
    server.fault = lambda _: Fault(delay=0.1)  # so that they meet
    processes = [launch(server, cache) for _ in range(4)]
    assert len({result(process) for process in processes}) == 1
    assert server.fetched_bytes(NAME) == len(MODEL) + 3 * RANGE, "others ask for the first range"
    assert cached_files(cache) == ["m.onnx"]


def test_who_waits_takes_over_from_one_that_is_killed(server: ObjectServer, cache: Path) -> None:
    server.objects[NAME] = MODEL
    stalled = Event()

    def rule(request: Request) -> Fault | None:
        if request.start == 5 * RANGE and not stalled.is_set():
            stalled.set()
            return Fault(delay=5)
        return None

    server.fault = rule
    first = launch(server, cache)
    assert stalled.wait(20)
    second = launch(server, cache)
    eventually(lambda: starts(server).count(0) == 2)
    assert second.poll() is None
    first.kill()
    assert Path(result(second)).read_bytes() == MODEL
    first.communicate()


def test_a_model_in_use_by_another_process_is_not_removed(
    server: ObjectServer, cache: Path, fetch: Fetch
) -> None:
    server.objects |= {NAME: padded(3000), "b/other.onnx": padded(3000, seed=1)}
    in_use = fetch()
    other = {"MODEL_URI": "s3://b/other.onnx", "INFERENCE_DISK_CACHE_BYTES": "4000"}
    process = launch(server, cache, **other)
    _, err = process.communicate(timeout=30)
    assert "s3://b/other.onnx needs" in err
    assert "other models take" in err
    assert Path(in_use.path).exists()
    del in_use
    result(launch(server, cache, **other))
    assert cached_files(cache) == ["other.onnx"]


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# A full disk


def test_a_file_that_may_not_grow_so_large_is_told(server: ObjectServer, cache: Path) -> None:
    server.objects[NAME] = MODEL
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({RANGE}, {RANGE}))\n"
    ended = subprocess.run(
        [sys.executable, "-c", limit + FETCH], env=environ(server, cache),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"s3://b/m.onnx cannot be stored in {cache}" in ended.stderr
    assert "File too large" in ended.stderr
    assert cached_files(cache) == []


@pytest.fixture
def small_disk(cache: Path) -> object:
    """``cache`` on a file system of 1 MiB."""
    cache.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(cache)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("only root mounts a small disk")
    yield
    subprocess.run(["umount", "-l", str(cache)], check=True)


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_too_small_is_told_before_the_fetch(
    server: ObjectServer, cache: Path, fetch: Fetch, small_ranges: int
) -> None:
    server.objects[NAME] = padded(2 << 20)
    with pytest.raises(ModelNotLoaded, match=r"m.onnx needs [\d,]+ bytes in .* has 1,048,576 free"):
        fetch()
    assert cached_files(cache) == []
    assert len(server.requests_for(NAME)) == 1


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_fills_up_meanwhile_is_told_and_left_clean(
    server: ObjectServer, cache: Path, fetch: Fetch, small_ranges: int
) -> None:
    server.objects[NAME] = MODEL

    def rule(request: Request) -> Fault | None:
        if request.start == RANGE:
            (cache / "filler").write_bytes(bytes(os.statvfs(cache).f_bavail * 4096))
        return None

    server.fault = rule
    with pytest.raises(ModelNotLoaded, match=r"cannot be stored in .*: No space left on device"):
        fetch(INFERENCE_FETCH_CONNECTIONS="1")
    assert cached_files(cache) == ["filler"]
