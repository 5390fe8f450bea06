"""AWS Signature Version 4 of a request without a body.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

from time import gmtime, strftime, time

from inference_runtime.models.url import Url
from inference_runtime.sha256 import hmac_sha256, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_NO_BODY: Final = sha256(b"").hexdigest()


class AwsCredentials:
    """What a request is signed with.

    Attributes:
        access_key: the access key's id.
        secret_key: its secret.
        token: of a session; empty for a user's key.
    """

    __slots__ = ("access_key", "secret_key", "token")

    def __init__(self, access_key: str, secret_key: str, token: str = "") -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token


def sign(
    url: str,
    headers: Mapping[str, str],
    credentials: AwsCredentials,
    region: str,
    service: str = "s3",
    now: float | None = None,
    method: str = "GET",
) -> dict[str, str]:
    """The headers of a request, signed.

    Args:
        url: its path and query percent-encoded as they are sent, the query's parameters in order.
        headers: to send with it, lower-case.
        credentials: to sign with.
        region: of the service's endpoint.
        service: that is asked.
        now: seconds since 1970; the present by default.
        method: of HTTP.

    Returns:
        ``headers``, and those that carry the signature.
    """
    moment = strftime("%Y%m%dT%H%M%SZ", gmtime(time() if now is None else now))
    target = Url(url)
    signed = {**headers, "x-amz-content-sha256": _NO_BODY, "x-amz-date": moment}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    with_host = sorted({**signed, "host": target.origin}.items())
    names = ";".join(name for name, _ in with_host)
    canonical = "\n".join(
        (method, target.path, target.query, *(f"{n}:{v.strip()}" for n, v in with_host), "", names,
         _NO_BODY)
    )  # fmt: skip
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((_ALGORITHM, moment, scope, sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac_sha256(key, part.encode())
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope},SignedHeaders={names},"
        f"Signature={hmac_sha256(key, text.encode()).hex()}"
    )
    return signed
