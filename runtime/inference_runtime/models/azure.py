"""``az://account/container/blob``: Azure Blob Storage, without an SDK."""

from __future__ import annotations

from inference_runtime.models.store import Request, texts
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

_VERSION = {"x-ms-version": "2021-12-02"}
_RESOURCE = "https://storage.azure.com/"
_INSTANCE = "http://169.254.169.254"
_AUTHORITY = "https://login.microsoftonline.com"
# Tokens of applications are valid for an hour at least, those of managed identities for a day:
# https://learn.microsoft.com/entra/identity-platform/access-tokens#token-lifetime
_TOKEN_SECONDS = 1800
_TIMEOUT_SECONDS = 5


class AzureStore:
    """A folder in a container.

    A shared access signature in the URI is used as it is. Without one, the token is that of the
    application that ``AZURE_TENANT_ID`` and ``AZURE_CLIENT_ID`` name, with its secret or a
    federated token (AKS), or else that of the host's managed identity; ``AZURE_CLIENT_ID`` names
    one of several.

    Args:
        account: of the storage.
        container: its name.
        folder: what its blobs' names start with: empty, or with a ``/`` at its end.
        signature: the shared access signature, a query; or empty.
        platform: the variables of ``settings.PLATFORM_VARIABLES``.
    """

    access = (
        "assign this identity the role Storage Blob Data Reader, or check the shared access"
        " signature and when it ends"
    )

    def __init__(
        self, account: str, container: str, folder: str, signature: str,
        platform: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.uri = f"az://{account}/{container}/{folder}"
        base = platform["AZURE_STORAGE_SERVICE_ENDPOINT"].rstrip("/")
        base = base or f"https://{account}.blob.core.windows.net"
        self._container = f"{base}/{encode(container)}"
        self._folder = folder
        self._signature = signature
        self._token = Renewed(lambda: _token(platform), _TOKEN_SECONDS)

    def request(self, name: str, headers: Mapping[str, str]) -> Request:
        """See ``Store``."""
        return self._request(f"/{encode(self._folder + name)}", {}, headers)

    def list_request(self, marker: str) -> Request:
        """See ``Store``."""
        query = {"restype": "container", "comp": "list", "prefix": self._folder, "marker": marker}
        return self._request("", query, {})

    def parse_list(self, body: bytes) -> tuple[list[str], str]:
        """See ``Store``."""
        names = [name.removeprefix(self._folder) for name in texts(body, "Name")]
        return names, "".join(texts(body, "NextMarker"))

    def follow(self, _name: str, _url: str, _status: int, _headers: Mapping[str, str]) -> bool:
        """See ``Store``."""
        return False

    def renew(self, asked: Request, reason: str) -> bool:
        """See ``Store``."""
        return renew_token(self._token, asked, reason)

    def _request(self, path: str, query: dict[str, str], headers: Mapping[str, str]) -> Request:
        parameters = "&".join(part for part in (encode_query(query), self._signature) if part)
        url = self._container + path + (f"?{parameters}" if parameters else "")
        return Request(url, {**headers, **_VERSION, **self._authorization()})

    def _authorization(self) -> dict[str, str]:
        if self._signature:
            return {}
        return {"authorization": bearer(self._token.get())}


def _token(platform: Mapping[str, str]) -> str:
    request = _token_request(platform)
    try:
        return access_token(request, _TIMEOUT_SECONDS)
    except NoToken as error:
        raise error.failure(
            f"there is no Azure token: {request.url.partition('?')[0]} gives none ({error}). Turn"
            " on a managed identity for this host, set AZURE_TENANT_ID, AZURE_CLIENT_ID and a"
            " secret or a federated token, or put a shared access signature in MODEL_URI"
        ) from error


def _token_request(platform: Mapping[str, str]) -> Request:
    return _of_application(platform) or _of_managed_identity(platform)


def _of_application(platform: Mapping[str, str]) -> Request | None:
    """https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow."""
    tenant, client = platform["AZURE_TENANT_ID"], platform["AZURE_CLIENT_ID"]
    secret, file = platform["AZURE_CLIENT_SECRET"], platform["AZURE_FEDERATED_TOKEN_FILE"]
    if not (tenant and client and (secret or file)):
        return None
    form = {
        "client_id": client, "grant_type": "client_credentials", "scope": f"{_RESOURCE}.default",
    }  # fmt: skip
    if secret:
        form["client_secret"] = secret
    else:
        form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        form["client_assertion"] = token_file(file, "AZURE_FEDERATED_TOKEN_FILE")
    authority = platform["AZURE_AUTHORITY_HOST"].rstrip("/") or _AUTHORITY
    return form_request(f"{authority}/{tenant}/oauth2/v2.0/token", form)


def _of_managed_identity(platform: Mapping[str, str]) -> Request:
    """App Service, Functions and Container Apps name an endpoint; virtual machines have one."""
    query = {"resource": _RESOURCE}
    if platform["AZURE_CLIENT_ID"]:
        query["client_id"] = platform["AZURE_CLIENT_ID"]
    if platform["IDENTITY_ENDPOINT"]:
        query["api-version"] = "2019-08-01"
        headers = {"x-identity-header": platform["IDENTITY_HEADER"]}
        return Request(f"{platform['IDENTITY_ENDPOINT']}?{encode_query(query)}", headers)
    query["api-version"] = "2018-02-01"
    host = platform["AZURE_POD_IDENTITY_AUTHORITY_HOST"].rstrip("/") or _INSTANCE
    url = f"{host}/metadata/identity/oauth2/token?{encode_query(query)}"
    return Request(url, {"metadata": "true"})
