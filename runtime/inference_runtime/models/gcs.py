"""``gs://bucket/object``: Google Cloud Storage over its JSON API, without an SDK."""

from __future__ import annotations

import os

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.store import Request
from inference_runtime.models.tokens import (
    NoToken,
    Renewed,
    access_token,
    bearer,
    form_request,
    renew_token,
    token_file,
)
from inference_runtime.models.url import encode, encode_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_API = "https://storage.googleapis.com"
_METADATA_HOST = "metadata.google.internal"
# The metadata server hands out a token until 5 minutes before its end:
# https://cloud.google.com/compute/docs/access/authenticate-workloads
_TOKEN_SECONDS = 240
_TIMEOUT_SECONDS = 2
_TOKENS = "https://oauth2.googleapis.com/token"
_TOKENS_TIMEOUT_SECONDS = 10
_USER_FIELDS = ("client_id", "client_secret", "refresh_token")


class GcsStore:
    """A folder in a bucket.

    The token is the one of Application Default Credentials: of the file that
    ``GOOGLE_APPLICATION_CREDENTIALS`` names or that ``gcloud auth application-default login``
    wrote, or else the metadata server's, on every Google Cloud host. Files of another kind than a
    user's, keys of service accounts for example, are left to the package google-auth.
    ``STORAGE_EMULATOR_HOST`` names another server, which is asked without a token.

    Args:
        bucket: its name.
        folder: what its objects' names start with: empty, or with a ``/`` at its end.
        platform: the variables of ``settings.PLATFORM_VARIABLES``.
    """

    access = "allow this service account storage.objects.get (roles/storage.objectViewer)"
    scope = "https://www.googleapis.com/auth/devstorage.read_only"

    def __init__(self, bucket: str, folder: str, platform: Mapping[str, str]) -> None:
        self.uri = f"gs://{bucket}/{folder}"
        objects = f"storage/v1/b/{encode(bucket, '')}/o"
        self._objects = f"{_base(platform)}/{objects}"
        self._uploads = f"{_base(platform)}/upload/{objects}"
        self._folder = folder
        self._platform = platform
        self._token = Renewed(lambda: _token(platform, self.scope), _TOKEN_SECONDS)

    def request(self, name: str, headers: Mapping[str, str]) -> Request:
        """See ``Store``."""
        url = f"{self._objects}/{encode(self._folder + name, '')}?alt=media"
        return Request(url, {**headers, **self._authorization()})

    def list_request(self, marker: str) -> Request:
        """See ``Store``."""
        query = {"prefix": self._folder, "fields": "items/name,nextPageToken", "pageToken": marker}
        return Request(f"{self._objects}?{encode_query(query)}", self._authorization())

    def parse_list(self, body: bytes) -> tuple[list[str], str]:
        """See ``Store``."""
        from json import loads

        page = loads(body)
        names = [item["name"].removeprefix(self._folder) for item in page.get("items", ())]
        return names, page.get("nextPageToken", "")

    def follow(self, _name: str, _url: str, _status: int, _headers: Mapping[str, str]) -> bool:
        """See ``Store``."""
        return False

    def renew(self, asked: Request, reason: str) -> bool:
        """See ``Store``."""
        return renew_token(self._token, asked, reason)

    def _authorization(self) -> dict[str, str]:
        if self._platform["STORAGE_EMULATOR_HOST"]:
            return {}
        return {"authorization": bearer(self._token.get())}


def _base(platform: Mapping[str, str]) -> str:
    emulator = platform["STORAGE_EMULATOR_HOST"].rstrip("/")
    if not emulator:
        return _API
    return emulator if "://" in emulator else f"http://{emulator}"


def _token(platform: Mapping[str, str], scope: str) -> str:
    file = platform["GOOGLE_APPLICATION_CREDENTIALS"] or _file_of_gcloud(platform)
    if file:
        return _token_of_file(file, scope)
    host = platform["GCE_METADATA_HOST"] or _METADATA_HOST
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
    try:
        return access_token(Request(url, {"metadata-flavor": "Google"}), _TIMEOUT_SECONDS)
    except NoToken as error:
        raise error.failure(
            f"there are no Google Cloud credentials: the metadata server at {host} gives no token"
            f" ({error}), GOOGLE_APPLICATION_CREDENTIALS is not set, and gcloud has left none"
        ) from error


def _file_of_gcloud(platform: Mapping[str, str]) -> str:
    """Where ``gcloud auth application-default login`` leaves credentials; empty if it has not.

    https://cloud.google.com/docs/authentication/application-default-credentials#personal
    """
    folder = platform["CLOUDSDK_CONFIG"] or os.path.join(
        platform["HOME"] or os.sep, ".config", "gcloud"
    )
    file = os.path.join(folder, "application_default_credentials.json")
    return file if os.path.isfile(file) else ""


def _token_of_file(path: str, scope: str) -> str:
    from json import loads

    try:
        found = loads(token_file(path, "GOOGLE_APPLICATION_CREDENTIALS"))
        fields = _USER_FIELDS if found["type"] == "authorized_user" else ()
        form = {name: found[name] for name in fields}
    except (ValueError, LookupError, TypeError) as error:
        raise ModelNotLoaded(f"{path} holds no Google Cloud credentials: {error!r}") from error
    if not form:
        return _token_of_google_auth(scope)
    request = form_request(_TOKENS, form | {"grant_type": "refresh_token"})
    try:
        return access_token(request, _TOKENS_TIMEOUT_SECONDS)
    except NoToken as error:
        raise error.failure(
            f"{_TOKENS} gives no token for the user in {path} ({error}): sign in again with"
            " `gcloud auth application-default login`"
        ) from error


def _token_of_google_auth(scope: str) -> str:
    from importlib import import_module

    try:
        auth = import_module("google.auth")
        transport = import_module("google.auth.transport.requests")
    except ImportError as error:
        raise ModelNotLoaded(
            "GOOGLE_APPLICATION_CREDENTIALS names a file of another kind than a user's, which takes"
            " the packages google-auth and requests: install them, or let the metadata server of a"
            " Google Cloud host give the token"
        ) from error
    try:
        credentials, _ = auth.default(scopes=[scope])
        credentials.refresh(transport.Request())
    except auth.exceptions.GoogleAuthError as error:
        raise ModelNotLoaded(f"google-auth gives no token: {error}") from error
    return str(credentials.token)
