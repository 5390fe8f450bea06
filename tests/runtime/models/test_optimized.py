"""A model in a store with a manifest beside it: what that names is fetched, and the rest is not."""

from __future__ import annotations

import json
import time
from hashlib import sha256
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from inference_runtime import manifest
from inference_runtime.engine import selection

from tests.runtime.models.conftest import Fetch, cached_files
from tests.runtime.models.object_server import Fault, ObjectServer, Request
from tests.runtime.models.samples import padded, weights, with_data
from tests.runtime.models.test_kill import run

ORIGINAL = "b/m.onnx"
OPTIMIZED = {"b/optimized.onnx": with_data("w").SerializeToString(), "b/w": weights(1)}


def described(*files: tuple[str, bytes]) -> dict[str, Any]:
    return {
        name: {"size": len(content), "sha256": sha256(content).hexdigest()}
        for name, content in files
    }


@pytest.fixture
def document(server: ObjectServer) -> dict[str, Any]:
    """A manifest that holds here; ``put`` stores it."""
    server.objects |= {ORIGINAL: padded(5000), **OPTIMIZED}
    files = [(name.removeprefix("b/"), content) for name, content in OPTIMIZED.items()]
    return {
        "manifest_version": manifest.MANIFEST_VERSION,
        "onnxruntime": manifest.onnxruntime_version(),
        "instruction_set": None,
        "original": {"file": "m.onnx", "files": described(("m.onnx", server.objects[ORIGINAL]))},
        "served": {"file": "optimized.onnx", "files": described(*files)},
        "load": {"optimize_graph": False, "prepack": False, "unpacked_start": True},
    }


def put(server: ObjectServer, document: dict[str, Any]) -> None:
    server.objects["b/manifest.json"] = json.dumps(document).encode()


def test_what_the_manifest_names_is_fetched_and_served(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path
) -> None:
    put(server, document)
    files = fetch()
    assert cached_files(cache) == ["manifest.json", "optimized.onnx", "w"]
    assert files.size == sum(map(len, OPTIMIZED.values()))
    assert files.served.path == str(Path(files.path).parent / "optimized.onnx")
    assert not files.served.options.prepack
    selection.load(files.served.path, threads=1)


def test_the_model_and_its_manifest_are_asked_for_at_the_same_time(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path
) -> None:
    put(server, document)
    both = Barrier(2, timeout=5)

    def meet(request: Request) -> None:
        if request.path in ("/b/m.onnx", "/b/manifest.json"):
            both.wait()

    server.answer = meet
    fetch()
    assert cached_files(cache) == ["manifest.json", "optimized.onnx", "w"]


def test_it_is_fetched_once(server: ObjectServer, document: dict[str, Any], fetch: Fetch) -> None:
    put(server, document)
    first = fetch()
    assert fetch().path == first.path
    assert len(server.requests_for("b/w")) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"onnxruntime": "1.0"}, "it was optimised with onnxruntime 1.0"),
        ({"instruction_set": "z80"}, "it was optimised for 'z80'"),
        ({"served": {"file": "../x", "files": {"../x": {}}}}, "outside the manifest's folder"),
        ({"load": {}}, "is no manifest"),
    ],
)
def test_where_it_does_not_hold_the_original_is_fetched_and_the_log_says_why(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path,
    capsys: pytest.CaptureFixture[str], change: dict[str, Any], reason: str,
) -> None:  # fmt: skip
    put(server, document | change)
    assert Path(fetch().path).read_bytes() == server.objects[ORIGINAL]
    assert cached_files(cache) == ["m.onnx"]
    assert reason in capsys.readouterr().out


def test_files_of_another_content_are_not_served(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    put(server, document)
    server.objects["b/w"] = weights(2)
    fetch()
    assert cached_files(cache) == ["m.onnx"]
    assert "w is not the file that the manifest was made for" in capsys.readouterr().out


def test_a_file_of_another_size_is_not_served(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    put(server, document)
    server.objects["b/w"] = weights(1) + b"more"
    fetch()
    assert cached_files(cache) == ["m.onnx"]
    assert "s3://b/w changed" in capsys.readouterr().out


def test_from_a_server_without_ranges_the_original_comes(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path, small_ranges: int
) -> None:
    server.objects["b/w"] = big = bytes(2 * small_ranges)
    document["served"]["files"] |= described(("w", big))
    put(server, document)
    server.fault = lambda _: Fault(whole=True)
    fetch()
    assert cached_files(cache) == ["m.onnx"]


def test_a_manifest_of_another_model_is_passed_over(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path
) -> None:
    put(server, document | {"original": {"file": "other.onnx", "files": {}}})
    fetch()
    assert cached_files(cache) == ["m.onnx"]


def test_a_manifest_that_may_not_be_read_is_as_good_as_none(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path
) -> None:
    put(server, document)
    server.fault = lambda r: Fault(status=403) if r.path == "/b/manifest.json" else None
    fetch()
    assert cached_files(cache) == ["m.onnx"]


def test_a_digest_is_of_the_model_itself(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path
) -> None:
    put(server, document)
    fetch(MODEL_SHA256=sha256(server.objects[ORIGINAL]).hexdigest())
    assert cached_files(cache) == ["m.onnx"]


def test_where_a_file_is_missing_the_original_is_fetched(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    put(server, document)
    del server.objects["b/w"]
    fetch()
    assert cached_files(cache) == ["m.onnx"]
    assert "s3://b/w does not exist" in capsys.readouterr().out


def test_where_a_file_is_missing_the_fetch_of_the_others_ends(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path, small_ranges: int
) -> None:
    big = bytes(20 * small_ranges)
    server.objects["b/w"] = big
    document["served"]["files"] |= described(("w", big))
    put(server, document)
    del server.objects["b/optimized.onnx"]
    server.fault = lambda request: Fault(delay=0.05) if request.path == "/b/w" else None
    fetch(INFERENCE_FETCH_CONNECTIONS="2")
    asked = len(server.requests_for("b/w"))
    assert server.fetched_bytes("b/w") < len(big)
    time.sleep(0.2)
    assert len(server.requests_for("b/w")) == asked, "nobody goes on"
    assert cached_files(cache) == ["m.onnx"]


def test_a_resumed_file_is_checked_whole(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path,
    capsys: pytest.CaptureFixture[str], small_ranges: int,
) -> None:  # fmt: skip
    big = bytes(manifest.DIGEST_UP_TO_BYTES + 1)
    server.objects["b/w"] = big
    document["served"]["files"] |= described(("w", big))
    put(server, document)
    assert run(server, cache, "inference_runtime.models.part:Part", "complete", "5") < 0
    server.objects["b/w"] = b"\1" * len(big)
    fetch()
    assert cached_files(cache) == ["m.onnx"]
    assert "w is not the file that the manifest was made for" in capsys.readouterr().out


@pytest.mark.parametrize("count", range(3))
def test_a_kill_between_its_files(
    server: ObjectServer, document: dict[str, Any], fetch: Fetch, cache: Path, count: int
) -> None:
    put(server, document)
    assert run(server, cache, "os", "rename", str(count)) < 0
    selection.load(fetch().served.path, threads=1)
    assert cached_files(cache) == ["manifest.json", "optimized.onnx", "w"]
