"""AWS credentials: each place where they are looked for, and in which order."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.aws_credentials import find_credentials, find_region
from inference_runtime.settings import PLATFORM_VARIABLES

from tests.runtime.models.conftest import Fetch
from tests.runtime.models.object_server import Fault, ObjectServer, Request
from tests.runtime.models.samples import padded

OF_ROLE = json.dumps({"AccessKeyId": "role", "SecretAccessKey": "s", "Token": "t"}).encode()
OF_STS = b"""<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>sts</AccessKeyId><SecretAccessKey>s/+</SecretAccessKey><SessionToken>t==</SessionToken>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
KEYS = {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "s"}


def platform(**given: str) -> dict[str, str]:
    quiet = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nowhere"}
    return dict.fromkeys(PLATFORM_VARIABLES, "") | quiet | given


def found(**given: str) -> tuple[str, str, str]:
    credentials = find_credentials(platform(**given))
    return credentials.access_key, credentials.secret_key, credentials.token


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = shared\naws_secret_access_key = a%b\n"
        "[other]\naws_access_key_id=o\naws_secret_access_key=s\naws_session_token=t\n"
    )
    (folder / "config").write_text(
        "[default]\nregion = eu-north-1\n[profile other]\nregion=sa-east-1\n"
    )
    return tmp_path


def test_the_environment_comes_first(home: Path) -> None:
    assert found(HOME=str(home), **KEYS) == ("env", "s", "")
    assert found(AWS_SESSION_TOKEN="t", **KEYS) == ("env", "s", "t")


@pytest.fixture
def web_identity(server: ObjectServer, tmp_path: Path) -> dict[str, str]:
    """What EKS sets, with a server in place of AWS STS."""
    (tmp_path / "token").write_text("a.b.c\n")
    server.answer = lambda request: OF_STS if request.method == "POST" else None
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": "arn:aws:iam::1:r",
        "AWS_ENDPOINT_URL_STS": server.url,
    }  # fmt: skip


def test_then_the_role_of_a_web_identity_without_an_sdk(
    server: ObjectServer, home: Path, web_identity: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    assert found(HOME=str(home), **web_identity) == ("sts", "s/+", "t==")
    found(AWS_ROLE_SESSION_NAME="mine", **web_identity)
    first, second = (dict(parse_qsl(request.body.decode())) for request in server.requests)
    assert first == {
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::1:r", "RoleSessionName": "inference-runtime",
        "WebIdentityToken": "a.b.c",
    }  # fmt: skip
    assert second["RoleSessionName"] == "mine"
    assert {request.path for request in server.requests} == {"/"}, "the token is in no URL"


def test_what_sts_refuses_is_told_and_a_moment_s_failure_is_tried_again(
    server: ObjectServer, web_identity: dict[str, str], fetch: Fetch, small_ranges: int
) -> None:
    faults = [Fault(status=503), Fault(cut=3), None]
    server.fault = lambda request: faults.pop(0) if request.method == "POST" else None
    server.objects["b/m.onnx"] = padded(1000)
    without_keys = dict.fromkeys(KEYS, "")
    fetch(**without_keys, **web_identity)
    assert faults == []

    refusal = b"<Error><Code>AccessDenied</Code><Message>Not authorized</Message></Error>"
    server.fault = lambda request: Fault(status=403, body=refusal)
    with pytest.raises(
        ModelNotLoaded, match=r"had from http://\S+: it answers 403: Not authorized"
    ):
        fetch(**without_keys, **web_identity)


def test_a_token_file_that_is_not_there_is_told(web_identity: dict[str, str]) -> None:
    Path(web_identity["AWS_WEB_IDENTITY_TOKEN_FILE"]).unlink()
    with pytest.raises(ModelNotLoaded, match=r"AWS_WEB_IDENTITY_TOKEN_FILE is .* cannot be read"):
        found(**web_identity)


def test_then_the_shared_files(home: Path) -> None:
    assert found(HOME=str(home)) == ("shared", "a%b", "")
    assert found(HOME=str(home), AWS_PROFILE="other") == ("o", "s", "t")
    file = str(home / ".aws" / "credentials")
    assert found(AWS_SHARED_CREDENTIALS_FILE=file) == ("shared", "a%b", "")


def test_without_a_home_none_is_looked_for_in_the_working_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    with pytest.raises(ModelNotLoaded, match="there are no AWS credentials"):
        found(HOME="")


def test_the_region_is_the_environments_or_the_profiles(home: Path) -> None:
    assert find_region(platform()) == "us-east-1"
    assert find_region(platform(HOME=str(home))) == "eu-north-1"
    assert find_region(platform(HOME=str(home), AWS_PROFILE="other")) == "sa-east-1"
    assert find_region(platform(HOME=str(home), AWS_DEFAULT_REGION="b")) == "b"
    assert find_region(platform(AWS_REGION="a", AWS_DEFAULT_REGION="b")) == "a"


def test_then_the_container_with_its_token(server: ObjectServer, tmp_path: Path) -> None:
    server.answer = lambda _: OF_ROLE
    (tmp_path / "token").write_text("from file\n")
    url = f"{server.url}/v2/creds"
    assert found(
        AWS_CONTAINER_CREDENTIALS_FULL_URI=url, AWS_CONTAINER_AUTHORIZATION_TOKEN="direct"
    ) == ("role", "s", "t")
    found(
        AWS_CONTAINER_CREDENTIALS_FULL_URI=url,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "token"),
    )
    assert [r.headers["authorization"] for r in server.requests] == ["direct", "from file"]


def test_container_credentials_are_not_asked_for_in_the_open() -> None:
    with pytest.raises(ModelNotLoaded, match="it takes https://"):
        found(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://example.org/creds")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"AccessKeyId": "a"}'])
def test_an_answer_without_credentials_is_refused(server: ObjectServer, body: bytes) -> None:
    server.answer = lambda _: body
    with pytest.raises(ModelNotLoaded, match="gives no AWS credentials"):
        found(AWS_CONTAINER_CREDENTIALS_FULL_URI=server.url)


def test_then_the_instance_by_its_session(server: ObjectServer) -> None:
    def answer(request: Request) -> bytes:
        if request.method == "PUT":
            return b"session"
        assert request.headers["x-aws-ec2-metadata-token"] == "session"
        return OF_ROLE if request.path.endswith("/the-role") else b"the-role"

    server.answer = answer
    assert found(
        AWS_EC2_METADATA_DISABLED="", AWS_EC2_METADATA_SERVICE_ENDPOINT=f"{server.url}/"
    ) == ("role", "s", "t")


def test_a_metadata_service_that_refuses_is_no_instance(server: ObjectServer) -> None:
    with pytest.raises(ModelNotLoaded, match="there are no AWS credentials: neither"):
        found(AWS_EC2_METADATA_DISABLED="", AWS_EC2_METADATA_SERVICE_ENDPOINT=server.url)


def test_what_needs_an_sdk_is_left_to_botocore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile p]\ncredential_process = echo "
        """'{"Version": 1, "AccessKeyId": "process", "SecretAccessKey": "s"}'\n"""
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))  # botocore reads the environment itself
    monkeypatch.setenv("AWS_PROFILE", "p")
    assert found(AWS_CONFIG_FILE=str(config), AWS_PROFILE="p") == ("process", "s", "")


def test_without_any_the_error_lists_the_places() -> None:
    with pytest.raises(ModelNotLoaded) as raised:
        found()
    for place in ("AWS_ACCESS_KEY_ID", "~/.aws", "container", "EC2 instance", "botocore"):
        assert place in str(raised.value)
