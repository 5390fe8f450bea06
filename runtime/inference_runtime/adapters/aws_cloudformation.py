"""AWS CloudFormation: a custom resource that copies a model's files into a bucket.

Amazon S3 copies them by itself, from where the CDK's command line uploaded them: no byte comes
here. The resource's properties are ``Bucket``, and ``Files``: a list of ``Key`` in that bucket and
``Source``, a bucket, a ``/``, and a key. Deleting the resource leaves the files: functions of
earlier versions read them.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref.html
"""

from __future__ import annotations

from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from inference_runtime import jsonio
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.http_client import read
from inference_runtime.models.s3 import S3Store
from inference_runtime.settings import platform_variables
from inference_runtime.telemetry import log_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Amazon S3 sends the headers at once and the result when the copy is there; 5 GB take minutes.
_COPY_TIMEOUT_SECONDS = 840
_ANSWER_TIMEOUT_SECONDS = 30


def handler(event: dict[str, Any], _context: object) -> None:
    """Answer a request of CloudFormation, whatever happens: it would wait for an hour.

    Args:
        event: the request.
    """
    properties = event["ResourceProperties"]
    answer = {
        "Status": "SUCCESS",
        "PhysicalResourceId": f"s3://{properties['Bucket']}/{properties['Files'][0]['Key']}",
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    try:
        if event["RequestType"] != "Delete":
            _copy(properties["Bucket"], properties["Files"])
    except Exception as error:
        log_exception("model not copied", error)
        answer |= {"Status": "FAILED", "Reason": str(error) or type(error).__name__}
    _send(event["ResponseURL"], answer)


def _copy(bucket: str, files: list[dict[str, str]]) -> None:
    store = S3Store(bucket, "", platform_variables())
    for file in files:
        key, source = file["Key"], file["Source"]
        status, body = read(store.copy_request(key, source), _COPY_TIMEOUT_SECONDS)
        # A copy that fails after its headers were sent has status 200, and an error for a body.
        if status != 200 or b"<CopyObjectResult" not in body:
            raise ModelNotLoaded(
                f"s3://{source} cannot be copied to {store.uri}{key}: Amazon S3 answers {status}"
                f" {body.decode(errors='replace')}"
            )


def _send(url: str, answer: dict[str, str]) -> None:
    # The URL is signed for an empty content type.
    request = HttpRequest(  # noqa: S310
        url, jsonio.dumps(answer), {"content-type": ""}, method="PUT"
    )
    urlopen(request, timeout=_ANSWER_TIMEOUT_SECONDS).close()  # noqa: S310
