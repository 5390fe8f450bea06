"""``s3://bucket/key``: Amazon S3, and servers that speak its protocol, without an SDK."""

from __future__ import annotations

from inference_runtime.models.aws_credentials import dns_suffix, find_credentials, find_region
from inference_runtime.models.sigv4 import sign
from inference_runtime.models.store import Request, texts
from inference_runtime.models.tokens import Renewed
from inference_runtime.models.url import encode, encode_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Instances get new credentials five minutes before the old ones end:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
_CREDENTIALS_SECONDS = 240
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; the status is 400, and 403 of
# some servers that speak the protocol.
_ENDED = ("ExpiredToken", "TokenRefreshRequired")


class S3Store:
    """A folder in a bucket.

    ``AWS_ENDPOINT_URL_S3`` and ``AWS_ENDPOINT_URL`` name another server. A bucket in another
    region than this process's is found there.

    Args:
        bucket: its name.
        folder: what its keys start with: empty, or with a ``/`` at its end.
        platform: the variables of ``settings.PLATFORM_VARIABLES``.
    """

    access = (
        "allow its role s3:GetObject on it, and s3:ListBucket on the bucket, without which a"
        " missing object shows as a refusal; with a KMS key also kms:Decrypt"
    )

    def __init__(self, bucket: str, folder: str, platform: Mapping[str, str]) -> None:
        self.uri = f"s3://{bucket}/{folder}"
        self._bucket = bucket
        self._folder = folder
        self._platform = platform
        self._region = find_region(platform)
        self._credentials = Renewed(lambda: find_credentials(platform), _CREDENTIALS_SECONDS)

    def request(self, name: str, headers: Mapping[str, str]) -> Request:
        """See ``Store``."""
        return self._signed(f"/{encode(self._folder + name)}", headers)

    def list_request(self, marker: str) -> Request:
        """See ``Store``."""
        query = {"encoding-type": "url", "list-type": "2", "prefix": self._folder}
        if marker:
            query["continuation-token"] = marker
        return self._signed(f"/?{encode_query(query)}", {})

    def parse_list(self, body: bytes) -> tuple[list[str], str]:
        """See ``Store``."""
        from urllib.parse import unquote_plus

        keys = map(unquote_plus, texts(body, "Key"))
        marker = "".join(texts(body, "NextContinuationToken"))
        return [key.removeprefix(self._folder) for key in keys], marker

    def follow(self, _name: str, _url: str, _status: int, headers: Mapping[str, str]) -> bool:
        """See ``Store``: a bucket in another region tells which."""
        region = headers.get("x-amz-bucket-region", self._region)
        moved = region != self._region
        self._region = region
        return moved

    def renew(self, asked: Request, reason: str) -> bool:
        """See ``Store``."""
        if not reason.endswith(_ENDED):
            return False
        token = asked.headers.get("x-amz-security-token", "")
        return self._credentials.replace(lambda credentials: credentials.token == token)

    def copy_request(self, name: str, source: str) -> Request:
        """A ``PUT`` that has Amazon S3 copy an object to here, without a byte passing through.

        Args:
            name: of the copy in the folder.
            source: of at most 5 GB: its bucket, a ``/``, and its key.

        Raises:
            ModelNotLoaded: there are no credentials.
        """
        headers = {"x-amz-copy-source": encode(source)}
        return self._signed(f"/{encode(self._folder + name)}", headers, "PUT")

    def _signed(self, path: str, headers: Mapping[str, str], method: str = "GET") -> Request:
        url = self._base() + path
        credentials = self._credentials.get()
        return Request(url, sign(url, headers, credentials, self._region, method=method), method)

    def _base(self) -> str:
        custom = self._platform["AWS_ENDPOINT_URL_S3"] or self._platform["AWS_ENDPOINT_URL"]
        if custom:
            return f"{custom.rstrip('/')}/{self._bucket}"
        host = f"s3.{self._region}.{dns_suffix(self._region)}"
        # A certificate for *.s3… does not cover names with a dot.
        by_path = "." in self._bucket
        return f"https://{host}/{self._bucket}" if by_path else f"https://{self._bucket}.{host}"
