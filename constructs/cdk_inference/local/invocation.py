"""Requests to what is deployed to the emulator: HTTP APIs, function URLs, functions."""

import http.client
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from cdk_inference.local.deployment import ACCOUNT, REGION, outputs
from cdk_inference.local.emulator import HOST, Emulator
from cdk_inference.local.errors import LocalError

_TIMEOUT_SECONDS = 900.0
"""A Lambda function's longest run."""

_AWS_HOST = re.compile(r"(?P<id>[^.]+)\.(?P<service>execute-api|lambda-url)\..+")
_CDK_HASH = re.compile(r"[0-9A-F]{8}$")
_ARN = re.compile(r"arn:[^:]+:lambda:(?P<region>[^:]+):(?P<account>\d{12}):function:.+")


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        status: the HTTP status.
        body: the content.
        seconds: from the request to the last byte of the answer.
        function_error: set if an invoked function raised an error, which ``body`` then describes;
            Lambda gives that the status 200 as well.

    Example:
        >>> reply = invoke(emulator, "ApiUrl/predict", b'{"features": [1, 2, 3]}')
        >>> reply.ok, reply.json()["predictions"]
        (True, 6.0)
    """

    status: int
    body: bytes
    seconds: float
    function_error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it is an answer and no error."""
        return self.status < http.HTTPStatus.BAD_REQUEST and self.function_error is None

    def json(self) -> Any:
        """The body as JSON; raises `ValueError` if it is not JSON."""
        return json.loads(self.body)


def local_url(emulator: Emulator, url: str) -> str:
    """Where the emulator serves an API Gateway or function ``url``.

    A URL that is the emulator's already comes back as it is.

    Raises:
        LocalError: it is the URL of something else.

    Example:
        >>> local_url(emulator, "https://abc.execute-api.us-east-1.amazonaws.com/predict")
        'http://127.0.0.1:4566/_aws/execute-api/abc/predict'
    """
    if url.startswith(f"{emulator.url}/"):
        return url
    parts = urlsplit(url)
    match = _AWS_HOST.fullmatch(parts.hostname or "")
    if match is None:
        raise LocalError(f"{url} is not the URL of an API Gateway API or of a Lambda function.")
    query = f"?{parts.query}" if parts.query else ""
    return f"{emulator.url}/_aws/{match['service']}/{match['id']}{parts.path or '/'}{query}"


def post(emulator: Emulator, url: str, body: bytes) -> Reply:
    """POST the JSON ``body`` to an API Gateway or function ``url``, as it is deployed.

    Raises:
        LocalError: as :func:`local_url`, or the emulator does not answer.

    Example:
        >>> url = outputs(emulator)["Digits"]["ApiUrl"]
        >>> post(emulator, url, b'{"features": [1, 2, 3]}').status
        200
    """
    target = urlsplit(local_url(emulator, url))
    path = f"{target.path}?{target.query}" if target.query else target.path
    return _request(emulator, path, body, {})


def invoke_function(emulator: Emulator, function: str, payload: bytes) -> Reply:
    """Invoke a Lambda ``function``, by name or by ARN (an alias's or a version's as well).

    Raises:
        LocalError: the emulator does not answer.

    Example:
        >>> invoke_function(emulator, "my-function", b'{"features": [1, 2, 3]}').function_error
    """
    arn = _ARN.fullmatch(function)
    region, account = (arn["region"], arn["account"]) if arn else (REGION, ACCOUNT)
    # The emulator reads account and region from the credential; it checks no signature.
    credential = f"{account}/20000101/{region}/lambda/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
    path = f"/2015-03-31/functions/{quote(function, safe='')}/invocations"
    return _request(emulator, path, payload, {"Authorization": authorization})


def invoke(emulator: Emulator, target: str, body: bytes) -> Reply:
    """Send ``body`` to ``target``: a stack output, a function's name, an ARN or a URL.

    An output is named ``Name`` or ``Stack.Name``; the hash that the CDK appends may be left out.
    If its value is a URL, that gets a POST, and a path may follow the name, as in
    ``ApiUrl/predict``. Else its value is a function, to be invoked.

    Raises:
        LocalError: ``target`` is neither an output nor a function that is deployed.

    Example:
        >>> invoke(emulator, "ApiUrl/predict", b'{"features": [1, 2, 3]}').status
        200
    """
    value = _resolve(target, _outputs_by_name(emulator))
    if value.startswith(("https://", "http://")):
        return post(emulator, value, body)
    reply = invoke_function(emulator, value, body)
    if reply.status == http.HTTPStatus.NOT_FOUND:
        known = [
            f"{stack}.{name}" for stack, values in outputs(emulator).items() for name in values
        ]
        raise LocalError(
            f"{target} is neither an output nor a function that is deployed here."
            f" The outputs are: {', '.join(known) or 'none'}."
        )
    return reply


def _resolve(target: str, named: Mapping[str, str]) -> str:
    name, slash, path = target.partition("/")
    if slash and name in named:
        return f"{named[name].rstrip('/')}/{path}"
    return named.get(target, target)


def _outputs_by_name(emulator: Emulator) -> Mapping[str, str]:
    """Each output under every name that means it alone."""
    values: dict[str, list[str]] = {}
    for stack, stack_outputs in outputs(emulator).items():
        for name, value in stack_outputs.items():
            for alias in {name, _CDK_HASH.sub("", name)}:
                values.setdefault(alias, []).append(value)
                values.setdefault(f"{stack}.{alias}", []).append(value)
    return {name: found[0] for name, found in values.items() if len(found) == 1}


def _request(emulator: Emulator, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
    connection = http.client.HTTPConnection(HOST, emulator.port, timeout=_TIMEOUT_SECONDS)
    started = time.perf_counter()
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        content = response.read()
        seconds = time.perf_counter() - started
    except (OSError, http.client.HTTPException) as error:
        raise LocalError(
            f"The emulator did not answer a POST to {path} ({error!r}); its log is"
            f" {emulator.folder / 'emulator.log'}."
        ) from error
    finally:
        connection.close()
    return Reply(response.status, content, seconds, response.getheader("X-Amz-Function-Error"))
