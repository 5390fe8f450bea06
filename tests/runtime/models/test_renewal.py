"""Credentials that end while a model is fetched, and those that several threads need at once."""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path

import pytest
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.azure import AzureStore
from inference_runtime.models.call import Call
from inference_runtime.models.gcs import GcsStore
from inference_runtime.models.https import HttpsStore
from inference_runtime.models.tokens import Renewed

from tests.runtime.models.conftest import Fetch
from tests.runtime.models.object_server import Fault, ObjectServer, Request
from tests.runtime.models.samples import padded
from tests.runtime.models.test_stores import platform

NAME = "b/m.onnx"


def refusal(status: int, code: str) -> Fault:
    return Fault(status=status, body=f"<Error><Code>{code}</Code></Error>".encode())


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "ExpiredToken"), (403, "ExpiredToken"), (400, "TokenRefreshRequired")],
)
def test_a_fetch_goes_on_with_new_credentials_where_the_old_ones_end(
    server: ObjectServer, fetch: Fetch, small_ranges: int, status: int, code: str
) -> None:
    server.objects[NAME] = content = padded(20 * small_ranges)
    tokens, valid, asked = count(), ["0"], count()

    def answer(request: Request) -> bytes | None:
        if request.path != "/role":
            return None
        found = {"AccessKeyId": "a", "SecretAccessKey": "s", "Token": str(next(tokens))}
        return json.dumps(found).encode()

    def rule(request: Request) -> Fault | None:
        if request.path != f"/{NAME}":
            return None
        if next(asked) == 6:
            valid[:] = ["1"]
        refused = request.headers["x-amz-security-token"] not in valid
        return refusal(status, code) if refused else None

    server.answer, server.fault = answer, rule
    files = fetch(
        AWS_ACCESS_KEY_ID="", AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{server.url}/role",
        INFERENCE_FETCH_CONNECTIONS="4",
    )  # fmt: skip
    assert Path(files.path).read_bytes() == content
    assert len(server.requests_for("role")) == 2, "all connections together ask once for new ones"


def test_where_there_are_no_others_the_refusal_stands(server: ObjectServer, fetch: Fetch) -> None:
    server.fault = lambda _: refusal(400, "ExpiredToken")
    with pytest.raises(ModelNotLoaded, match=r"s3://b/m.onnx cannot be .* 400 ExpiredToken"):
        fetch()
    assert len(server.requests_for(NAME)) == 1


def test_another_refusal_renews_nothing(server: ObjectServer, fetch: Fetch) -> None:
    server.answer = lambda request: (
        b'{"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t"}'
        if request.path == "/role" else None
    )  # fmt: skip
    server.fault = lambda r: refusal(403, "AccessDenied") if r.path != "/role" else None
    with pytest.raises(ModelNotLoaded, match="AccessDenied"):
        fetch(AWS_ACCESS_KEY_ID="", AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{server.url}/role")
    assert len(server.requests_for("role")) == 1


@pytest.mark.parametrize("kind", ["gs", "az"])
def test_a_bearer_token_that_is_refused_is_replaced(server: ObjectServer, kind: str) -> None:
    tokens = iter(["old", "new", "new"])
    server.answer = lambda _: b'{"access_token": "%b"}' % next(tokens).encode()
    store = {
        "gs": GcsStore("b", "", platform(GCE_METADATA_HOST=server.url.removeprefix("http://"))),
        "az": AzureStore("a", "c", "", "", platform(IDENTITY_ENDPOINT=server.url)),
    }[kind]
    asked = store.request("m", {})
    assert not store.renew(asked, "403 Forbidden")
    assert store.renew(asked, "401 Unauthorized")
    assert store.renew(asked, "401 Unauthorized"), "another thread has it already"
    assert len(server.requests) == 2
    again = store.request("m", {})
    assert again.headers["authorization"] == "Bearer new"
    assert not store.renew(again, "401 Unauthorized"), "there is none but the one refused"


def test_what_carries_no_token_cannot_be_renewed(server: ObjectServer) -> None:
    for store in (
        AzureStore("a", "c", "", "sig=s", platform(IDENTITY_ENDPOINT=server.url)),
        GcsStore("b", "", platform(STORAGE_EMULATOR_HOST=server.url)),
        HttpsStore("https://h/m"),
    ):
        assert not store.renew(store.request("m", {}), "401 Unauthorized")
    assert not server.requests


def test_of_several_threads_one_looks_for_credentials() -> None:
    found = count()

    def find() -> int:
        time.sleep(0.1)
        return next(found)

    credentials = Renewed(find, 60)
    calls = [Call(credentials.get) for _ in range(4)]
    assert [call.result() for call in calls] == [0] * 4
