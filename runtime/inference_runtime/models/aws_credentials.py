"""AWS credentials and region, looked for where and in the order that the AWS SDKs do.

https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html. Environment, web
identity (EKS), shared files, container (ECS, EKS Pod Identity, Lambda SnapStart) and EC2 instance
are read here. What else the SDKs know, such as single sign-on and assumed roles, is left to
botocore where that is installed.
"""

from __future__ import annotations

import os

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.http_client import read
from inference_runtime.models.sigv4 import AwsCredentials
from inference_runtime.models.store import BUSY_STATUSES, Busy, Request, texts
from inference_runtime.models.tokens import form_request, token_file
from inference_runtime.models.url import LOOPBACK_HOSTS, Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

DEFAULT_REGION: Final = "us-east-1"

_ECS = "http://169.254.170.2"
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
_CONTAINER_HOSTS = LOOPBACK_HOSTS | {"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}
_CONTAINER_TOKEN = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
# What a profile may hold beside the way to its credentials.
_NO_CREDENTIALS = frozenset({"region", "output"})
_EC2 = "http://169.254.169.254"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_LIFETIME_SECONDS = "21600"
_TIMEOUT_SECONDS = 2
_STS_TIMEOUT_SECONDS = 10
_SESSION_NAME = "inference-runtime"


def find_region(platform: Mapping[str, str]) -> str:
    """The region to ask in.

    Args:
        platform: the variables of ``settings.PLATFORM_VARIABLES``.
    """
    named = platform["AWS_REGION"] or platform["AWS_DEFAULT_REGION"]
    return named or _profile(platform).get("region", DEFAULT_REGION)


def find_credentials(platform: Mapping[str, str]) -> AwsCredentials:
    """The credentials of this process.

    Args:
        platform: the variables of ``settings.PLATFORM_VARIABLES``.

    Raises:
        ModelNotLoaded: there are none; the message lists where they were looked for.
        Busy: who has them does not answer for the moment.
    """
    for look in (
        _of_environment, _of_web_identity, _of_profile, _of_botocore, _of_container, _of_instance,
    ):  # fmt: skip
        credentials = look(platform)
        if credentials is not None:
            return credentials
    raise ModelNotLoaded(
        "there are no AWS credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, nor"
        " AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, nor a profile with keys in ~/.aws, nor a"
        " container's or an EC2 instance's role. Give this process a role, or install botocore for"
        " single sign-on and assumed roles"
    )


def dns_suffix(region: str) -> str:
    """What the host names of a region's services end with."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _of_environment(platform: Mapping[str, str]) -> AwsCredentials | None:
    if not (platform["AWS_ACCESS_KEY_ID"] and platform["AWS_SECRET_ACCESS_KEY"]):
        return None
    return AwsCredentials(
        platform["AWS_ACCESS_KEY_ID"],
        platform["AWS_SECRET_ACCESS_KEY"],
        platform["AWS_SESSION_TOKEN"],
    )


def _of_web_identity(platform: Mapping[str, str]) -> AwsCredentials | None:
    """A role's, for the token of another identity: on EKS, that of the pod's service account.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    """
    file, role = platform["AWS_WEB_IDENTITY_TOKEN_FILE"], platform["AWS_ROLE_ARN"]
    if not (file and role):
        return None
    region = find_region(platform)
    custom = platform["AWS_ENDPOINT_URL_STS"] or platform["AWS_ENDPOINT_URL"]
    url = (custom or f"https://sts.{region}.{dns_suffix(region)}").rstrip("/") + "/"
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "RoleArn": role,
        "RoleSessionName": platform["AWS_ROLE_SESSION_NAME"] or _SESSION_NAME,
        "Version": "2011-06-15",
        "WebIdentityToken": token_file(file, "AWS_WEB_IDENTITY_TOKEN_FILE"),
    }
    body = _ask(form_request(url, form), _STS_TIMEOUT_SECONDS)
    parts = [texts(body, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    if not all(parts):
        raise ModelNotLoaded(f"{url} gives no AWS credentials")
    return AwsCredentials(*(part[0] for part in parts))


def _of_profile(platform: Mapping[str, str]) -> AwsCredentials | None:
    profile = _profile(platform)
    if "aws_access_key_id" not in profile or "aws_secret_access_key" not in profile:
        return None
    return AwsCredentials(
        profile["aws_access_key_id"],
        profile["aws_secret_access_key"],
        profile.get("aws_session_token", ""),
    )


def _profile(platform: Mapping[str, str]) -> dict[str, str]:
    """The profile of the shared files; what the credentials file says comes first."""
    name = platform["AWS_PROFILE"] or "default"
    home = os.path.join(platform["HOME"] or os.sep, ".aws")  # never the working directory
    files = {
        platform["AWS_CONFIG_FILE"] or os.path.join(home, "config"): f"profile {name}",
        platform["AWS_SHARED_CREDENTIALS_FILE"] or os.path.join(home, "credentials"): name,
    }
    found: dict[str, str] = {}
    if not any(map(os.path.isfile, files)):
        return found
    from configparser import ConfigParser

    for path, section in files.items():
        parser = ConfigParser(interpolation=None, default_section="")
        parser.read(path)
        if name == "default" and not parser.has_section(section):
            section = name
        if parser.has_section(section):
            found |= parser[section]
    return found


def _of_botocore(platform: Mapping[str, str]) -> AwsCredentials | None:
    """What needs an SDK, and only where a profile was set up for it."""
    if not (platform["AWS_PROFILE"] or _profile(platform).keys() - _NO_CREDENTIALS):
        return None
    from importlib import import_module

    try:
        found = import_module("botocore.session").get_session().get_credentials()
    except ModuleNotFoundError:
        return None
    if found is None:
        return None
    frozen = found.get_frozen_credentials()
    return AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token or "")


def _of_container(platform: Mapping[str, str]) -> AwsCredentials | None:
    relative = platform["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
    url = _ECS + relative if relative else platform["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    if not url:
        return None
    target = Url(url)
    if target.scheme != "https" and target.host not in _CONTAINER_HOSTS:
        raise ModelNotLoaded(
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI is {url!r}; it takes https://, or http:// to this"
            " machine or to the addresses of ECS and EKS"
        )
    token, file = (platform[name] for name in _CONTAINER_TOKEN)
    if file:
        token = token_file(file, _CONTAINER_TOKEN[1])
    return _parse(_get(url, {"authorization": token} if token else {}), url)


def _of_instance(platform: Mapping[str, str]) -> AwsCredentials | None:
    if platform["AWS_EC2_METADATA_DISABLED"].lower() == "true":
        return None
    base = platform["AWS_EC2_METADATA_SERVICE_ENDPOINT"].rstrip("/") or _EC2
    lifetime = {"x-aws-ec2-metadata-token-ttl-seconds": _LIFETIME_SECONDS}
    try:
        status, token = read(Request(f"{base}/latest/api/token", lifetime, "PUT"), _TIMEOUT_SECONDS)
    except OSError:  # not on EC2
        return None
    if status != 200:
        return None
    headers = {"x-aws-ec2-metadata-token": token.decode()}
    role = _get(base + _ROLES, headers).decode().strip()
    return _parse(_get(base + _ROLES + role, headers), base)


def _get(url: str, headers: dict[str, str]) -> bytes:
    return _ask(Request(url, headers), _TIMEOUT_SECONDS)


def _ask(request: Request, timeout: float) -> bytes:
    told = f"AWS credentials cannot be had from {request.url}"
    try:
        status, body = read(request, timeout)
    except OSError as error:
        raise Busy(f"{told}: {error}") from error
    if status == 200:
        return body
    kind = Busy if status in BUSY_STATUSES else ModelNotLoaded
    raise kind(": ".join([f"{told}: it answers {status}", *texts(body, "Message")]))


def _parse(body: bytes, url: str) -> AwsCredentials:
    from json import loads

    try:
        found = loads(body)
        return AwsCredentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
    except (ValueError, LookupError, TypeError) as error:
        raise ModelNotLoaded(f"{url} gives no AWS credentials: {error!r}") from error
