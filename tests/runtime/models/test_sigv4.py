"""Signatures: AWS's own examples, and botocore's for any request."""

from __future__ import annotations

from calendar import timegm
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_runtime.models.sigv4 import AwsCredentials, sign

# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
EXAMPLE = AwsCredentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "https://examplebucket.s3.amazonaws.com"
NOW = timegm((2013, 5, 24, 0, 0, 0))


@pytest.mark.parametrize(
    ("url", "headers", "names", "signature"),
    [
        (
            f"{HOST}/test.txt", {"range": "bytes=0-9"},
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            f"{HOST}/?lifecycle=", {}, "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            f"{HOST}/?max-keys=2&prefix=J", {}, "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)  # fmt: skip
def test_amazons_examples(url: str, headers: dict[str, str], names: str, signature: str) -> None:
    assert sign(url, headers, EXAMPLE, "us-east-1", now=NOW)["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={names},Signature={signature}"
    )


@settings(deadline=None)
@given(
    st.text("abc/_-.~ %+ü&=?", min_size=1),
    st.dictionaries(st.text("abcxyz-", min_size=1), st.text("abc /&=+", min_size=1), max_size=3),
    st.text("abcdef", min_size=1),
    st.one_of(st.just(""), st.text("token", min_size=1)),
)
def test_botocores_signature_for_any_key(
    key: str, query: dict[str, str], secret: str, token: str
) -> None:
    pairs = sorted(query.items())
    url = f"{HOST}/{quote(key)}" + (
        f"?{urlencode(pairs, quote_via=quote, safe='')}" if pairs else ""
    )
    moment = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
    ours = sign(
        url, {"range": "bytes=0-9"}, AwsCredentials("AKID", secret, token), "eu-west-1",
        now=moment.timestamp(),
    )  # fmt: skip
    assert ours["authorization"].replace(",", ", ") == botocores(url, secret, token, moment)


def botocores(url: str, secret: str, token: str, moment: datetime) -> str:
    request = AWSRequest("GET", url, headers={"range": "bytes=0-9"})
    auth = botocore.auth.S3SigV4Auth(Credentials("AKID", secret, token or None), "s3", "eu-west-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        auth.add_auth(request)
    return str(request.headers["Authorization"])
