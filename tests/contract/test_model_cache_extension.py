"""The extension that fetches a model, as Lambda starts it and talks to it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from queue import Empty

import pytest
from inference_runtime.models import find_models
from inference_runtime.settings import Settings

from tests.contract.extensions_api import TIMEOUT_S, ExtensionsApi, extension, install
from tests.contract.runtime_api import LOOP
from tests.rie import emulator
from tests.runtime import onnx_models
from tests.runtime.models.conftest import AWS_KEYS, cached_files
from tests.runtime.models.object_server import Fault, ObjectServer, Request
from tests.runtime.models.samples import padded

NAME = "model-cache"
KEY = "b/scale/1/model.onnx"
MODEL = padded(20 << 20)
RANGES = 3


@pytest.fixture
def api() -> Iterator[ExtensionsApi]:
    with ExtensionsApi() as running:
        yield running


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with ObjectServer({KEY: MODEL}) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return install(tmp_path, NAME)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def environ(server: ObjectServer, cache: Path) -> dict[str, str]:
    """What a function has whose model is in a bucket."""
    return {
        "MODEL_URI": f"s3://{KEY}",
        "MODEL_SHA256": sha256(MODEL).hexdigest(),
        "AWS_ENDPOINT_URL_S3": server.url,
        "INFERENCE_CACHE_DIR": str(cache),
        **AWS_KEYS,
    }


def whole_model(cache: Path) -> bytes:
    """What is in the cache, and there is nothing else."""
    assert cached_files(cache) == ["model.onnx"]
    (path,) = cache.rglob("model.onnx")
    return path.read_bytes()


def stall_after_the_first_range(request: Request) -> Fault | None:
    return Fault(delay=TIMEOUT_S) if request.start else None


def finish_first_range(server: ObjectServer, cache: Path) -> None:
    """Wait until one range is whole on disk and the others are under way."""
    end = time.monotonic() + TIMEOUT_S
    while len(server.requests) < RANGES or not cached_files(cache):
        assert time.monotonic() < end
        time.sleep(0.01)
    (part,) = cache.rglob("*.part")
    while not part.read_bytes()[len(MODEL)]:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_fetches_and_then_waits_until_the_end(
    file: Path, api: ExtensionsApi, environ: dict[str, str], cache: Path
) -> None:
    with extension(file, api, environ) as process:
        assert api.registered.get(timeout=TIMEOUT_S) == (NAME, ["SHUTDOWN"])
        api.asked.get(timeout=TIMEOUT_S)
        assert whole_model(cache) == MODEL, "there before Lambda goes on"
        api.send("INVOKE")
        api.asked.get(timeout=TIMEOUT_S)
        api.send("SHUTDOWN")
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    (line,) = map(json.loads, output.splitlines())
    assert (line["message"], line["fetched_bytes"]) == ("model fetched", len(MODEL))


def test_lambda_goes_on_with_the_runtime_before_a_byte_is_fetched(
    file: Path, api: ExtensionsApi, environ: dict[str, str], server: ObjectServer
) -> None:
    server.fault = lambda _: Fault(delay=TIMEOUT_S)
    with extension(file, api, environ):
        api.registered.get(timeout=TIMEOUT_S)
        with pytest.raises(Empty):
            api.asked.get(timeout=0.3)


def test_the_runtime_waits_for_what_the_extension_fetches(
    file: Path, api: ExtensionsApi, environ: dict[str, str], server: ObjectServer, cache: Path
) -> None:
    server.fault = lambda request: Fault(delay=0.5) if request.start else None
    with extension(file, api, environ):
        finish_first_range(server, cache)
        find_models(Settings.read(environ))[0].fetch()
        assert whole_model(cache) == MODEL
    assert server.fetched_bytes(KEY) == len(MODEL), "nothing was fetched twice"


def test_killed_it_leaves_nothing_that_looks_whole_and_the_next_goes_on(
    file: Path, api: ExtensionsApi, environ: dict[str, str], server: ObjectServer, cache: Path
) -> None:
    server.fault = stall_after_the_first_range
    with extension(file, api, environ) as process:
        finish_first_range(server, cache)
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT_S)
    assert cached_files(cache) == ["model.onnx.part"]
    server.fault = lambda _: None
    with extension(file, api, environ):
        api.asked.get(timeout=TIMEOUT_S)
    assert whole_model(cache) == MODEL


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"MODEL_SHA256": "0" * 64}, "MODEL_SHA256 is 000"),
        ({"MODEL_URI": "s3://b/none.onnx"}, "does not exist"),
        ({"MODEL_SHA256": "short"}, "MODEL_SHA256 is 'short'"),
    ],
)
def test_what_it_cannot_fetch_it_leaves_to_the_runtime_and_says_why(
    file: Path,
    api: ExtensionsApi,
    environ: dict[str, str],
    cache: Path,
    change: dict[str, str],
    reason: str,
) -> None:
    with extension(file, api, environ | change) as process:
        api.asked.get(timeout=TIMEOUT_S)
        assert not cache.exists() or cached_files(cache) == []
        api.send("SHUTDOWN")
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    (line,) = map(json.loads, output.splitlines())
    assert line["message"] == "model not fetched ahead; the runtime tries itself"
    assert reason in line["detail"]


def test_where_lambda_refuses_it_it_ends(
    file: Path, api: ExtensionsApi, environ: dict[str, str]
) -> None:
    api.status = 403
    with extension(file, api, environ) as process:
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1


@pytest.mark.skipif(not emulator.namespaces_are_allowed(), reason="needs namespaces of its own")
def test_under_aws_own_emulator_it_fetches_for_the_runtime(
    file: Path, environ: dict[str, str], server: ObjectServer, capfd: pytest.CaptureFixture[str]
) -> None:
    model = onnx_models.sum_and_product().SerializeToString()
    server.objects[KEY] = model
    given = environ | {"MODEL_SHA256": sha256(model).hexdigest(), "MODEL_VERSION": "3"}
    client = LOOP
    with emulator.with_extension(given, client, file) as function:
        answer = function.invoke({"inputs": {"a": [[1, 2]], "b": [[3, 4]]}})
    assert answer["model_version"] == "3"
    assert server.fetched_bytes(KEY) == len(model)
    lines = capfd.readouterr().out.splitlines()
    messages = [json.loads(line)["message"] for line in lines if line.startswith("{")]
    assert messages.count("model fetched") == 2, "by the one, and from its cache by the other"
