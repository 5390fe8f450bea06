"""AWS credentials and region, looked for where and in the order that the AWS SDKs do.

https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html. Environment, shared
files, container (ECS, EKS Pod Identity, Lambda SnapStart) and EC2 instance are read here. What
else the SDKs know, such as web identity, single sign-on and assumed roles, is left to botocore
where that is installed.
"""

from __future__ import annotations

import os

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.http_client import read
from inference_runtime.models.sigv4 import AwsCredentials
from inference_runtime.models.store import Request
from inference_runtime.models.url import LOOPBACK_HOSTS, Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

DEFAULT_REGION: Final = "us-east-1"

_ECS = "http://169.254.170.2"
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
_CONTAINER_HOSTS = LOOPBACK_HOSTS | {"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}
_EC2 = "http://169.254.169.254"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_LIFETIME_SECONDS = "21600"
_TIMEOUT_SECONDS = 2


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
    """
    for look in (_of_environment, _of_profile, _of_botocore, _of_container, _of_instance):
        credentials = look(platform)
        if credentials is not None:
            return credentials
    raise ModelNotLoaded(
        "there are no AWS credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, nor a"
        " profile with keys in ~/.aws, nor a container's or an EC2 instance's role. Give this"
        " process a role, or install botocore for web identity, single sign-on and assumed roles"
    )


def _of_environment(platform: Mapping[str, str]) -> AwsCredentials | None:
    if not (platform["AWS_ACCESS_KEY_ID"] and platform["AWS_SECRET_ACCESS_KEY"]):
        return None
    return AwsCredentials(
        platform["AWS_ACCESS_KEY_ID"],
        platform["AWS_SECRET_ACCESS_KEY"],
        platform["AWS_SESSION_TOKEN"],
    )


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
    home = os.path.join(platform["HOME"], ".aws")
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
    """What needs an SDK, and only where something was set up for it."""
    wanted = platform["AWS_WEB_IDENTITY_TOKEN_FILE"] or platform["AWS_PROFILE"]
    if not wanted:
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
    token = platform["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    if platform["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]:
        with open(platform["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]) as file:
            token = file.read().strip()
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
    try:
        status, body = read(Request(url, headers), _TIMEOUT_SECONDS)
    except OSError as error:
        raise ModelNotLoaded(f"AWS credentials cannot be had from {url}: {error}") from error
    if status != 200:
        raise ModelNotLoaded(f"AWS credentials cannot be had from {url}: it answers {status}")
    return body


def _parse(body: bytes, url: str) -> AwsCredentials:
    from json import loads

    try:
        found = loads(body)
        return AwsCredentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
    except (ValueError, LookupError, TypeError) as error:
        raise ModelNotLoaded(f"{url} gives no AWS credentials: {error!r}") from error
