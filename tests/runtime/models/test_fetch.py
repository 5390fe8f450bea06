"""Fetches from a server that fails in every way that a server can."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import memory
from inference_runtime.models.reader import ATTEMPTS

from tests.runtime.models.conftest import Fetch, cached_files
from tests.runtime.models.object_server import Fault, ObjectServer, Request
from tests.runtime.models.samples import padded, weights, with_data

NAME = "b/m.onnx"
URI = "s3://b/m.onnx"
KEY_LOCATIONS = ("w0.bin", "data/w1.bin")


def content(path: str) -> bytes:
    return Path(path).read_bytes()


def refused(fetch: Fetch, cache: Path, **environ: str) -> str:
    """The error's message; nothing is left behind."""
    with pytest.raises(ModelNotLoaded) as raised:
        fetch(**environ)
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    return str(raised.value)


@pytest.fixture
def model(server: ObjectServer, small_ranges: int) -> bytes:
    """A model of 10 ranges, on the server."""
    server.objects[NAME] = made = padded(10 * small_ranges - 1000)
    return made


# Whole


@pytest.mark.parametrize("connections", ["1", "3", "64"])
def test_ranges_make_the_same_file(
    model: bytes, fetch: Fetch, server: ObjectServer, cache: Path, connections: str
) -> None:
    files = fetch(INFERENCE_FETCH_CONNECTIONS=connections)
    assert content(files.path) == model
    assert files.size == len(model)
    assert server.fetched_bytes(NAME) == len(model)
    assert cached_files(cache) == ["m.onnx"]


def test_each_later_range_is_asked_for_of_the_same_content(
    model: bytes, fetch: Fetch, server: ObjectServer
) -> None:
    fetch()
    first, *later = server.requests_for(NAME)
    etag = f'"{sha256(model).hexdigest()[:16]}"'
    assert "if-match" not in first.headers
    assert [request.headers.get("if-match") for request in later] == [etag] * 9


def test_a_request_asks_for_a_connections_share_of_what_is_left(
    fetch: Fetch, server: ObjectServer, small_ranges: int
) -> None:
    server.objects[NAME] = made = padded(60 * small_ranges)
    assert content(fetch(INFERENCE_FETCH_CONNECTIONS="4").path) == made
    sizes = [-(-request.length // small_ranges) for request in server.requests_for(NAME)]
    assert max(sizes) == 8, "so that a failure is not counted against too much"
    assert sizes[-2:] == [1, 1], "so that all connections end together"
    assert len(sizes) < 60 / 2
    assert server.fetched_bytes(NAME) == len(made)


def test_an_unchanged_object_is_asked_for_and_not_fetched_again(
    model: bytes, fetch: Fetch, server: ObjectServer
) -> None:
    first = fetch()
    requests = len(server.requests_for(NAME))
    assert fetch().path == first.path
    assert len(server.requests_for(NAME)) == requests + 1


def test_a_changed_object_is_fetched_again(
    model: bytes, fetch: Fetch, server: ObjectServer, small_ranges: int
) -> None:
    old = fetch()
    server.objects[NAME] = padded(3 * small_ranges, seed=1)
    assert content(fetch().path) == server.objects[NAME]
    assert content(old.path) == model, "who uses the old one keeps it"


def test_an_object_without_ranges_is_fetched_whole(
    model: bytes, fetch: Fetch, server: ObjectServer
) -> None:
    server.fault = lambda _: Fault(whole=True)
    assert content(fetch().path) == model
    assert len(server.requests_for(NAME)) == 1


# The digest


def test_the_right_digest_needs_no_request_for_a_cached_model(
    model: bytes, fetch: Fetch, server: ObjectServer
) -> None:
    digest = sha256(model).hexdigest()
    first = fetch(MODEL_SHA256=digest)
    requests = len(server.requests)
    assert fetch(MODEL_SHA256=digest).path == first.path
    assert len(server.requests) == requests


def test_another_digest_is_refused(
    model: bytes, fetch: Fetch, server: ObjectServer, cache: Path
) -> None:
    message = refused(fetch, cache, MODEL_SHA256="0" * 64)
    assert message.startswith(
        f"{URI} has the SHA-256 {sha256(model).hexdigest()}, but MODEL_SHA256 is {'0' * 64}"
    )


# What passes


def once(fault: Fault, *, start: int | None = None) -> object:
    """A rule that lets ``fault`` happen to one request, the one of a range if that is named."""
    left = [fault]

    def rule(request: Request) -> Fault | None:
        return left.pop() if left and start in (None, request.start) else None

    return rule


@pytest.mark.parametrize("start", [0, 3], ids=["first", "later"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500), Fault(status=503, body=b"<Code>SlowDown</Code>"), Fault(status=429),
        Fault(cut=0), Fault(cut=5000), Fault(cut=5000, reset=True), Fault(cut=100, stall=1.5),
        Fault(delay=1.5), Fault(headers={"Content-Range": "bytes 1-9/655360"}),
    ],
    ids=[
        "500", "503", "429", "no body", "short body", "reset", "stalled body", "no answer",
        "other bytes",
    ],
)  # fmt: skip
def test_a_fault_that_passes_is_retried(
    model: bytes, fetch: Fetch, server: ObjectServer, small_ranges: int, fault: Fault, start: int
) -> None:
    if "Content-Range" in fault.headers:
        fault.headers = {"Content-Range": f"bytes 1-9/{len(model)}"}
        start = start or 1  # of the first range it is the size that counts
    server.fault = once(fault, start=start * small_ranges)  # type: ignore[assignment]
    files = fetch(INFERENCE_FETCH_TIMEOUT_SECONDS="0.5", MODEL_SHA256=sha256(model).hexdigest())
    assert content(files.path) == model


def test_a_retry_goes_on_where_the_body_broke_off(
    model: bytes, fetch: Fetch, server: ObjectServer, small_ranges: int
) -> None:
    server.fault = once(Fault(cut=5000), start=small_ranges)  # type: ignore[assignment]
    fetch()
    again = [request.start for request in server.requests]
    assert small_ranges + 5000 in again


def test_an_object_without_ranges_starts_over(
    model: bytes, fetch: Fetch, server: ObjectServer
) -> None:
    faults = [Fault(whole=True, cut=90_000)]
    server.fault = lambda request: (
        faults.pop() if faults and request.path == f"/{NAME}" else Fault(whole=True)
    )
    assert content(fetch().path) == model
    assert len(server.requests_for(NAME)) == 2


# What does not pass


@pytest.mark.parametrize("start", [0, 3], ids=["first", "later"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Fault(status=403, body=b"<Error><Code>AccessDenied</Code></Error>"),
            f"{URI} is refused (403 AccessDenied): allow its role s3:GetObject on it",
        ),
        (
            Fault(status=404, body=b"<Error><Code>NoSuchKey</Code></Error>"),
            f"{URI} does not exist (404 NoSuchKey): check its name",
        ),
        (Fault(status=418), f"{URI} cannot be fetched: the server answers 418"),
        (Fault(status=500), f"after {ATTEMPTS} tries: the server answers 500"),
        (
            Fault(cut=0),
            f"{URI} cannot be fetched, after {ATTEMPTS} tries: the answer broke off with",
        ),
        (Fault(cut=0, reset=True), f"{URI} cannot be fetched, after {ATTEMPTS} tries:"),
        (Fault(delay=0.5), f"after {ATTEMPTS} tries: timed out"),
        (Fault(cut=100, stall=0.5), f"{URI} cannot be fetched, after {ATTEMPTS} tries:"),
    ],
    ids=["403", "404", "418", "500", "short", "reset", "no answer", "stalled"],
)
def test_a_fault_that_lasts_names_the_uri_and_leaves_nothing(
    model: bytes, fetch: Fetch, server: ObjectServer, cache: Path, small_ranges: int,
    fault: Fault, message: str, start: int,
) -> None:  # fmt: skip
    def rule(request: Request) -> Fault | None:
        first = start * small_ranges
        meant = request.path == f"/{NAME}" and first <= request.start < first + small_ranges
        return fault if meant else None

    server.fault = rule
    said = refused(fetch, cache, INFERENCE_FETCH_TIMEOUT_SECONDS="0.2")
    assert message in said
    assert URI in said


@pytest.mark.parametrize("verified", [False, True], ids=["by etag", "verified"])
def test_a_model_larger_than_memory_is_refused_before_it_is_fetched(
    model: bytes, fetch: Fetch, server: ObjectServer, cache: Path, small_ranges: int,
    monkeypatch: pytest.MonkeyPatch, verified: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(memory, "_limit", lambda _: (1 << 20, "the function's memory"))
    monkeypatch.setattr(memory, "_anonymous_bytes", lambda: 300_000)
    given = {"MODEL_SHA256": sha256(model).hexdigest()} if verified else {}
    message = refused(fetch, cache, **given)
    assert f"{URI} needs about 1 MiB of memory" in message
    assert "1 MiB is the function's memory" in message
    assert [request.start for request in server.requests_for(NAME)] == [0]


def test_nobody_listens(server: ObjectServer, fetch: Fetch, cache: Path, small_ranges: int) -> None:
    message = refused(fetch, cache, AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
    assert f"{URI} cannot be fetched, after {ATTEMPTS} tries: [Errno 111]" in message


@pytest.mark.parametrize("field", ["etag", "size"])
def test_an_object_that_changes_meanwhile_is_refused(
    model: bytes, fetch: Fetch, server: ObjectServer, cache: Path, small_ranges: int, field: str
) -> None:
    def rule(request: Request) -> Fault | None:
        if request.start == 5 * small_ranges:
            changed = padded(10 * small_ranges - 1000, seed=2)
            server.objects[NAME] = changed if field == "etag" else changed + b"\0"
        return None

    server.fault = rule
    assert f"{URI} changed while it was fetched" in refused(fetch, cache)


def test_a_change_is_noticed_where_the_server_ignores_if_match(
    model: bytes, fetch: Fetch, server: ObjectServer, cache: Path, small_ranges: int
) -> None:
    server.fault = lambda r: Fault(headers={"ETag": '"other"'}) if r.start > 0 else None
    assert f"{URI} changed while it was fetched" in refused(fetch, cache)


def test_an_empty_object_is_refused(fetch: Fetch, server: ObjectServer, cache: Path) -> None:
    server.objects[NAME] = b""
    assert refused_without_cache(fetch) == f"{URI} is empty: upload it again"


def test_a_truncated_model_is_refused(fetch: Fetch, server: ObjectServer) -> None:
    server.objects[NAME] = padded(1000)[:-1]
    assert f"{URI} is no complete ONNX file (it ends within" in refused_without_cache(fetch)


def refused_without_cache(fetch: Fetch) -> str:
    with pytest.raises(ModelNotLoaded) as raised:
        fetch()
    return str(raised.value)


# External data


@pytest.fixture
def parts(server: ObjectServer) -> dict[str, bytes]:
    """A model with external data, on the server."""
    objects = {
        NAME: with_data(*KEY_LOCATIONS).SerializeToString(),
        "b/w0.bin": weights(1),
        "b/data/w1.bin": weights(2),
    }
    server.objects |= objects
    return objects


def listing_digest(parts: dict[str, bytes]) -> str:
    names = {"data/w1.bin": "b/data/w1.bin", "model.onnx": NAME, "w0.bin": "b/w0.bin"}
    lines = [f"{sha256(parts[key]).hexdigest()}  {name}\n" for name, key in names.items()]
    return sha256("".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("verified", [False, True])
def test_external_data_come_along(
    parts: dict[str, bytes], fetch: Fetch, server: ObjectServer, verified: bool
) -> None:
    environ = {"MODEL_SHA256": listing_digest(parts)} if verified else {}
    files = fetch(**environ)
    folder = Path(files.path).parent
    assert content(files.path) == parts[NAME]
    assert (folder / "w0.bin").read_bytes() == parts["b/w0.bin"]
    assert (folder / "data/w1.bin").read_bytes() == parts["b/data/w1.bin"]
    assert files.size == sum(map(len, parts.values()))
    assert fetch(**environ).path == files.path


def test_external_data_that_changed_make_another_model(
    parts: dict[str, bytes], fetch: Fetch, server: ObjectServer
) -> None:
    old = fetch()
    server.objects["b/w0.bin"] = weights(3)
    new = fetch()
    assert (Path(new.path).parent / "w0.bin").read_bytes() == weights(3)
    assert (Path(old.path).parent / "w0.bin").read_bytes() == weights(1)


def test_the_digest_is_of_the_external_data_too(
    parts: dict[str, bytes], fetch: Fetch, server: ObjectServer, cache: Path
) -> None:
    server.objects["b/w0.bin"] = weights(3)
    assert "has the SHA-256" in refused(fetch, cache, MODEL_SHA256=listing_digest(parts))


def test_missing_external_data_are_named(
    parts: dict[str, bytes], fetch: Fetch, server: ObjectServer
) -> None:
    del server.objects["b/data/w1.bin"]
    assert refused_without_cache(fetch).startswith("s3://b/data/w1.bin does not exist")


@pytest.mark.parametrize("location", ["../w0.bin", "/etc/passwd", "a/../../w0.bin", "m.onnx", "."])
def test_external_data_outside_the_folder_are_refused_and_not_asked_for(
    fetch: Fetch, server: ObjectServer, location: str
) -> None:
    server.objects = {NAME: with_data(location).SerializeToString(), "w0.bin": weights(1)}
    assert f"refers to external data in {location!r}" in refused_without_cache(fetch)
    assert {request.path for request in server.requests} == {f"/{NAME}", "/b/manifest.json"}
