"""Each scheme's requests, as its server gets them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from cdk_inference.local import running
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import FoundModel, find_models, gcs, https
from inference_runtime.models.azure import AzureStore
from inference_runtime.models.gcs import GcsStore
from inference_runtime.models.remote import open_store
from inference_runtime.models.s3 import S3Store
from inference_runtime.settings import PLATFORM_VARIABLES, Settings

from tests.runtime.models.conftest import AWS_KEYS, Fetch
from tests.runtime.models.object_server import Fault, ObjectServer, Request
from tests.runtime.models.samples import padded

MODEL = padded(5000)


def platform(**given: str) -> dict[str, str]:
    return dict.fromkeys(PLATFORM_VARIABLES, "") | AWS_KEYS | given


def settings(uri: str, **environ: str) -> Settings:
    return Settings.read({"MODEL_URI": uri, **AWS_KEYS, **environ})


def refused(uri: str, **environ: str) -> str:
    with pytest.raises(ModelNotLoaded) as raised:
        find_models(settings(uri, **environ))[0].fetch()
    return str(raised.value)


# URIs


@pytest.mark.parametrize(
    ("uri", "folder", "name"),
    [
        ("s3://b/m.onnx", "s3://b/", "m.onnx"),
        ("s3://b/a/c/m.onnx", "s3://b/a/c/", "m.onnx"),
        ("s3://b/a/", "s3://b/a/", ""),
        ("s3://b/", "s3://b/", ""),
        ("gs://b/a/m.onnx", "gs://b/a/", "m.onnx"),
        ("az://account/container/m.onnx", "az://account/container/", "m.onnx"),
        ("az://account/container/a/b/m?sv=1&sig=secret", "az://account/container/a/b/", "m"),
        ("https://h/a/m.onnx?signature=secret", "https://h/a/", "m.onnx"),
        ("https://h:8443/m.onnx#part", "https://h:8443/", "m.onnx"),
    ],
)
def test_a_uri_is_a_folder_and_a_name(uri: str, folder: str, name: str) -> None:
    store, found = open_store(settings(uri))
    assert (store.uri, found) == (folder, name)


@pytest.mark.parametrize("uri", ["s3://b", "s3:///k", "gs://b", "az://account/c", "az://a//m"])
def test_a_uri_without_all_its_parts_is_refused(uri: str) -> None:
    assert f"MODEL_URI is {uri!r}; it takes" in refused(uri)


# S3


@pytest.mark.parametrize(
    ("bucket", "given", "url"),
    [
        ("bkt", {}, "https://bkt.s3.us-east-1.amazonaws.com/f/k"),
        ("bkt", {"AWS_REGION": "eu-west-1"}, "https://bkt.s3.eu-west-1.amazonaws.com/f/k"),
        ("bkt", {"AWS_REGION": "cn-north-1"}, "https://bkt.s3.cn-north-1.amazonaws.com.cn/f/k"),
        ("b.k", {}, "https://s3.us-east-1.amazonaws.com/b.k/f/k"),
        ("bkt", {"AWS_ENDPOINT_URL": "http://h:1/"}, "http://h:1/bkt/f/k"),
        ("bkt", {"AWS_ENDPOINT_URL": "x", "AWS_ENDPOINT_URL_S3": "http://h"}, "http://h/bkt/f/k"),
    ],
)
def test_s3_addresses(bucket: str, given: dict[str, str], url: str) -> None:
    assert S3Store(bucket, "f/", platform(**given)).request("k", {}).url == url


def test_s3_keys_are_encoded_and_the_token_goes_along() -> None:
    store = S3Store("bkt", "a b/", platform(AWS_SESSION_TOKEN="token"))
    request = store.request("ü+%.onnx", {"range": "bytes=0-1"})
    assert request.url.endswith("/a%20b/%C3%BC%2B%25.onnx")
    assert request.headers["x-amz-security-token"] == "token"
    assert "SignedHeaders=host;range;x-amz" in request.headers["authorization"]


def test_a_bucket_in_another_region_is_found_there() -> None:
    store = S3Store("bkt", "", platform())
    assert store.follow("k", "", 301, {"x-amz-bucket-region": "ap-south-1"})
    assert store.request("k", {}).url == "https://bkt.s3.ap-south-1.amazonaws.com/k"
    assert not store.follow("k", "", 403, {"x-amz-bucket-region": "ap-south-1"})


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3-compatible server with models in the bucket ``models``."""
    with running(tmp_path_factory.mktemp("emulator")) as started:
        connection = HTTPConnection("127.0.0.1", started.port)
        for path in ("", "/m.onnx", "/repo/a%20b/1/model.onnx", "/repo/a%20b/10/model.onnx"):
            connection.request("PUT", f"/models{path}", MODEL if path else b"")
            assert connection.getresponse().read() == b""
        yield started.url


def of_emulator(uri: str, emulator: str, cache: Path, **environ: str) -> list[FoundModel]:
    given = {"AWS_ENDPOINT_URL": emulator, "INFERENCE_CACHE_DIR": str(cache), **environ}
    return find_models(settings(uri, **given))


def test_a_model_comes_from_an_s3_compatible_server(
    emulator: str, cache: Path, small_ranges: int
) -> None:
    (model,) = of_emulator("s3://models/m.onnx", emulator, cache)
    assert Path(model.fetch().path).read_bytes() == MODEL


def test_a_repository_is_listed(emulator: str, cache: Path) -> None:
    models = of_emulator("s3://models/repo/", emulator, cache)
    assert [(model.name, model.version) for model in models] == [("a b", "1"), ("a b", "10")]
    assert Path(models[1].fetch().path).read_bytes() == MODEL


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://models/none", "s3://models/none does not exist (404 NoSuchKey)"),
        ("s3://nobucket/m", "s3://nobucket/m does not exist (404 NoSuchBucket)"),
        ("s3://nobucket/", "s3://nobucket/ does not exist (404 NoSuchBucket)"),
        ("s3://models/none/", "s3://models/none/, but holds no <model>/<version>/model.onnx"),
    ],
)
def test_what_is_not_there_is_told(emulator: str, cache: Path, uri: str, message: str) -> None:
    with pytest.raises(ModelNotLoaded) as raised:
        of_emulator(uri, emulator, cache)[0].fetch()
    assert message in str(raised.value)


def test_the_emulators_instance_role_signs(emulator: str, cache: Path) -> None:
    environ = {
        "MODEL_URI": "s3://models/m.onnx", "AWS_ENDPOINT_URL": emulator,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": emulator, "INFERENCE_CACHE_DIR": str(cache),
        "HOME": "/nowhere",
    }  # fmt: skip
    (model,) = find_models(Settings.read(environ))
    assert Path(model.fetch().path).read_bytes() == MODEL


def test_a_web_identity_s_role_signs(emulator: str, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a.b.c")
    environ = {
        "MODEL_URI": "s3://models/m.onnx", "AWS_ENDPOINT_URL": emulator,
        "AWS_ROLE_ARN": "arn:aws:iam::000000000000:role/pod", "HOME": "/nowhere",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "INFERENCE_CACHE_DIR": str(cache),
    }  # fmt: skip
    (model,) = find_models(Settings.read(environ))
    assert Path(model.fetch().path).read_bytes() == MODEL


def test_a_long_list_comes_in_pages(server: ObjectServer, fetch: Fetch) -> None:
    pages = {
        None: b"<Key>r/a/1/model.onnx</Key><NextContinuationToken>x&amp;y</NextContinuationToken>",
        "x&y": b"<Key>r/a/2/model.onnx</Key><Key>r/%C3%BC+x/1/model.onnx</Key>",
    }

    def answer(request: Request) -> bytes | None:
        query = parse_qs(urlsplit(request.path).query)
        if "list-type" not in query:
            return None
        assert query["prefix"] == ["r/"]
        return pages[query.get("continuation-token", [None])[0]]

    server.answer = answer
    models = find_models(settings("s3://b/r/", AWS_ENDPOINT_URL=server.url))
    assert [(model.name, model.version) for model in models] == [
        ("a", "1"), ("a", "2"), ("ü x", "1"),
    ]  # fmt: skip


# Google Cloud Storage


def test_gcs_with_the_metadata_servers_token(server: ObjectServer, cache: Path) -> None:
    def answer(request: Request) -> bytes | None:
        if "computeMetadata" in request.path:
            assert request.headers["metadata-flavor"] == "Google"
            return b'{"access_token": "secret", "expires_in": 3000}'
        return None

    server.answer = answer
    store = GcsStore("b", "f/", platform(GCE_METADATA_HOST=server.url.removeprefix("http://")))
    request = store.request("a b.onnx", {"range": "bytes=0-1"})
    assert request.url == "https://storage.googleapis.com/storage/v1/b/b/o/f%2Fa%20b.onnx?alt=media"
    assert request.headers == {"range": "bytes=0-1", "authorization": "Bearer secret"}
    store.request("other", {})
    assert len(server.requests) == 1, "the token is used again"


def test_gcs_without_a_token_says_what_is_missing(server: ObjectServer) -> None:
    store = GcsStore("b", "", platform(GCE_METADATA_HOST=server.url.removeprefix("http://")))
    with pytest.raises(ModelNotLoaded, match="there are no Google Cloud credentials"):
        store.request("m", {})


def test_gcs_from_an_emulator(server: ObjectServer, cache: Path) -> None:
    server.objects["storage/v1/b/bkt/o/r%2Fa%2F3%2Fmodel.onnx"] = MODEL
    names = json.dumps({"items": [{"name": "r/a/3/model.onnx"}]}).encode()
    server.answer = lambda r: names if r.path.startswith("/storage/v1/b/bkt/o?") else None
    environ = {"STORAGE_EMULATOR_HOST": server.url, "INFERENCE_CACHE_DIR": str(cache)}
    (model,) = find_models(settings("gs://bkt/r/", **environ))
    assert (model.name, model.version) == ("a", "3")
    assert Path(model.fetch().path).read_bytes() == MODEL
    assert all("authorization" not in request.headers for request in server.requests)


USER = {
    "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
}  # fmt: skip


@pytest.mark.parametrize("place", ["GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HOME"])
def test_gcs_with_a_user_s_credentials_without_an_sdk(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(gcs, "_TOKENS", f"{server.url}/token")
    monkeypatch.setitem(sys.modules, "google.auth", None)
    file = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(USER))
    named = {
        "GOOGLE_APPLICATION_CREDENTIALS": file, "CLOUDSDK_CONFIG": file.parent, "HOME": tmp_path,
    }  # fmt: skip
    store = GcsStore("b", "", platform(**{place: str(named[place])}))
    server.answer = lambda _: b'{"access_token": "secret"}'
    assert store.request("m", {}).headers["authorization"] == "Bearer secret"
    (asked,) = server.requests
    assert dict(parse_qsl(asked.body.decode())) == {
        "client_id": "c", "client_secret": "s", "refresh_token": "r", "grant_type": "refresh_token",
    }  # fmt: skip
    server.fault = lambda _: Fault(status=400, body=b'{"error": "invalid_grant"}')
    store = GcsStore("b", "", platform(**{place: str(named[place])}))
    with pytest.raises(ModelNotLoaded, match=r"it answers 400\): sign in again") as raised:
        store.request("m", {})
    assert str(file) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"type": "service_account"}', "takes the packages google-auth and requests"),
        ('{"type": "authorized_user"}', "holds no Google Cloud credentials: KeyError"),
        ("{}", "holds no Google Cloud credentials"),
        ("-----BEGIN", "holds no Google Cloud credentials"),
        (None, "which cannot be read"),
    ],
)
def test_a_google_credentials_file_of_another_kind_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    store = GcsStore("b", "", platform(GOOGLE_APPLICATION_CREDENTIALS=str(file)))
    with pytest.raises(ModelNotLoaded, match=message):
        store.request("m", {})


def test_a_metadata_server_that_is_busy_is_asked_again(
    server: ObjectServer, cache: Path, monkeypatch: pytest.MonkeyPatch, small_ranges: int
) -> None:
    server.objects["storage/v1/b/bkt/o/m.onnx"] = MODEL
    monkeypatch.setattr(gcs, "_API", server.url)
    busy = [Fault(status=503), Fault(status=429)]
    server.fault = lambda r: busy.pop() if "computeMetadata" in r.path and busy else None
    server.answer = lambda r: b'{"access_token": "s"}' if "computeMetadata" in r.path else None
    host = server.url.removeprefix("http://")
    environ = {"GCE_METADATA_HOST": host, "INFERENCE_CACHE_DIR": str(cache)}
    (model,) = find_models(settings("gs://bkt/m.onnx", **environ))
    assert Path(model.fetch().path).read_bytes() == MODEL
    assert not busy


# Azure Blob Storage


def test_azure_with_a_shared_access_signature_that_messages_do_not_tell(
    server: ObjectServer, cache: Path
) -> None:
    server.objects["container/a/m.onnx"] = MODEL
    environ = {"AZURE_STORAGE_SERVICE_ENDPOINT": server.url, "INFERENCE_CACHE_DIR": str(cache)}
    uri = "az://account/container/a/m.onnx?sv=1&sig=s%2Bcret"
    (model,) = find_models(settings(uri, **environ))
    assert Path(model.fetch().path).read_bytes() == MODEL
    (request,) = server.requests_for("container/a/m.onnx")
    assert request.path == "/container/a/m.onnx?sv=1&sig=s%2Bcret"
    assert "authorization" not in request.headers
    server.fault = lambda _: Fault(status=403, body=b"<Code>AuthenticationFailed</Code>")
    message = refused(uri, **environ)
    assert message.startswith("az://account/container/a/m.onnx is refused (403 Authentication")
    assert "cret" not in message


@pytest.mark.parametrize(
    ("given", "path", "header"),
    [
        (
            {"IDENTITY_ENDPOINT": "{url}/msi", "IDENTITY_HEADER": "h", "AZURE_CLIENT_ID": "c"},
            "/msi?api-version=2019-08-01&client_id=c&resource=https%3A%2F%2Fstorage.azure.com%2F",
            ("x-identity-header", "h"),
        ),
        (
            {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "{url}"},
            "/metadata/identity/oauth2/token?api-version=2018-02-01"
            "&resource=https%3A%2F%2Fstorage.azure.com%2F",
            ("metadata", "true"),
        ),
    ],
    ids=["functions", "virtual machine"],
)
def test_azure_with_a_managed_identity(
    server: ObjectServer, given: dict[str, str], path: str, header: tuple[str, str]
) -> None:
    server.answer = lambda _: b'{"access_token": "secret"}'
    named = {name: value.replace("{url}", server.url) for name, value in given.items()}
    request = AzureStore("acc", "c", "f/", "", platform(**named)).request("a b", {})
    assert request.url == "https://acc.blob.core.windows.net/c/f/a%20b"
    assert request.headers["authorization"] == "Bearer secret"
    (asked,) = server.requests
    assert (asked.path, asked.headers[header[0]]) == (path, header[1])


@pytest.mark.parametrize("kind", ["secret", "federated"])
def test_azure_with_an_application(server: ObjectServer, tmp_path: Path, kind: str) -> None:
    (tmp_path / "token").write_text("a.b.c\n")
    given, sent = {
        "secret": ({"AZURE_CLIENT_SECRET": "s+/"}, {"client_secret": "s+/"}),
        "federated": (
            {"AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token")},
            {
                "client_assertion": "a.b.c",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            },
        ),
    }[kind]
    server.answer = lambda _: b'{"access_token": "secret"}'
    of_application = platform(
        AZURE_TENANT_ID="t", AZURE_CLIENT_ID="c", AZURE_AUTHORITY_HOST=f"{server.url}/",
        IDENTITY_ENDPOINT="http://127.0.0.1:9/", **given,
    )  # fmt: skip
    request = AzureStore("acc", "c", "f/", "", of_application).request("m", {})
    assert request.headers["authorization"] == "Bearer secret"
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/t/oauth2/v2.0/token")
    assert dict(parse_qsl(asked.body.decode())) == {
        "client_id": "c", "grant_type": "client_credentials",
        "scope": "https://storage.azure.com/.default", **sent,
    }  # fmt: skip


def test_azure_without_an_identity_says_what_to_do(server: ObjectServer) -> None:
    store = AzureStore("a", "c", "", "", platform(IDENTITY_ENDPOINT=server.url))
    with pytest.raises(ModelNotLoaded, match="Turn on a managed identity"):
        store.request("m", {})


def test_an_azure_repository_is_listed(server: ObjectServer) -> None:
    pages = {
        "": b"<Name>r/a/1/model.onnx</Name><NextMarker>n&amp;m</NextMarker>",
        "n&m": b"<Name>r/b&amp;c/2/model.onnx</Name><NextMarker />",
    }

    def answer(request: Request) -> bytes:
        query = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        assert (query["comp"], query["prefix"], query["sig"]) == (["list"], ["r/"], ["s"])
        return pages[query["marker"][0]]

    server.answer = answer
    environ = {"AZURE_STORAGE_SERVICE_ENDPOINT": server.url}
    models = find_models(settings("az://account/container/r/?sig=s", **environ))
    assert [(model.name, model.version) for model in models] == [("a", "1"), ("b&c", "2")]


# The web


def test_redirects_are_followed(server: ObjectServer, cache: Path, small_ranges: int) -> None:
    content = padded(3 * small_ranges)
    server.objects["real/m.onnx"] = content

    def rule(request: Request) -> Fault | None:
        if request.path.startswith("/real"):
            return None
        return Fault(status=302, headers={"Location": "/real/m.onnx?signed=1"})

    server.fault = rule
    (model,) = find_models(settings(f"{server.url}/m.onnx", INFERENCE_CACHE_DIR=str(cache)))
    assert Path(model.fetch().path).read_bytes() == content
    assert [request.path for request in server.requests].count("/m.onnx") == 1


def test_a_redirect_whose_target_has_run_out_is_followed_anew(
    server: ObjectServer, cache: Path, small_ranges: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https, "_FRESH_SECONDS", 0)
    server.objects["signed"] = content = padded(12 * small_ranges)
    signatures = count()
    asked: Counter[str] = Counter()

    def rule(request: Request) -> Fault | None:
        if request.path == "/m.onnx":
            return Fault(status=302, headers={"Location": f"/signed?n={next(signatures)}"})
        asked[request.path] += 1
        return Fault(status=403) if asked[request.path] > 2 else None

    server.fault = rule
    environ = {"INFERENCE_CACHE_DIR": str(cache), "INFERENCE_FETCH_CONNECTIONS": "2"}
    (model,) = find_models(settings(f"{server.url}/m.onnx", **environ))
    assert Path(model.fetch().path).read_bytes() == content
    assert next(signatures) >= 3


def test_a_redirect_whose_target_refuses_at_once_is_refused(
    server: ObjectServer, cache: Path
) -> None:
    server.fault = lambda request: (
        Fault(status=403) if request.path == "/x" else Fault(status=302, headers={"Location": "/x"})
    )
    message = refused(f"{server.url}/m.onnx", INFERENCE_CACHE_DIR=str(cache))
    assert "/m.onnx is refused (403 Forbidden)" in message


def test_a_redirect_loop_ends(server: ObjectServer, cache: Path) -> None:
    server.fault = lambda _: Fault(status=302, headers={"Location": "/m.onnx"})
    message = refused(f"{server.url}/m.onnx", INFERENCE_CACHE_DIR=str(cache))
    assert "cannot be fetched: the server answers 302 Found" in message


def test_a_redirect_to_plain_http_is_refused(server: ObjectServer, cache: Path) -> None:
    server.fault = lambda _: Fault(status=302, headers={"Location": "http://example.org/m.onnx"})
    message = refused(f"{server.url}/m.onnx", INFERENCE_CACHE_DIR=str(cache))
    assert "/m.onnx leads to http://example.org; models are fetched over https://" in message


def test_plain_http_is_refused() -> None:
    assert "models are fetched over https://" in refused("http://example.org/m.onnx")


def test_a_users_name_in_a_url_is_refused_and_not_told() -> None:
    message = refused("https://user:secret@example.org/m.onnx")
    assert "names a user at example.org" in message
    assert "secret" not in message


def test_the_web_has_no_repositories() -> None:
    assert "web servers do not list folders" in refused("https://example.org/models/")


def test_an_object_that_could_change_unseen_needs_a_digest(
    server: ObjectServer, cache: Path
) -> None:
    server.objects["m.onnx"] = MODEL
    server.fault = lambda _: Fault(headers={"ETag": ""})
    message = refused(f"{server.url}/m.onnx", INFERENCE_CACHE_DIR=str(cache))
    assert "tells neither ETag nor Last-Modified" in message
    assert "MODEL_SHA256" in message


def test_an_object_without_a_size_is_refused(server: ObjectServer, cache: Path) -> None:
    server.objects["m.onnx"] = MODEL
    server.fault = lambda _: Fault(headers={"Content-Range": "bytes 0-4/*"})
    message = refused(f"{server.url}/m.onnx", INFERENCE_CACHE_DIR=str(cache))
    assert "its server does not tell its size" in message
