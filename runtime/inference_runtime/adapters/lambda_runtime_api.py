"""Lambda's Runtime API, and the extension that makes it send SIGTERM.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

from inference_runtime import jsonio
from inference_runtime.adapters.lambda_connection import Connection
from inference_runtime.adapters.lambda_extensions_api import NEXT_EVENT, ExtensionRefused, register
from inference_runtime.telemetry import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.adapters.lambda_connection import Response

    Headers = dict[str, str]

RUNTIME: Final = "/2018-06-01/runtime"
EXTENSION_NAME: Final = "inference-runtime"

_JSON = {"content-type": "application/json"}
_ERROR_TYPE = "lambda-runtime-function-error-type"
# Tells an invocation from an earlier one of the same request id that timed out; clients send it
# back: https://github.com/aws/aws-lambda-python-runtime-interface-client/pull/214
_INVOCATION_ID = "lambda-runtime-invocation-id"


class RuntimeApiError(Exception):
    """The Runtime API answered what leaves nothing to do but to end the process."""


class Invocation:
    """One event to answer.

    Attributes:
        event: its JSON.
        request_id: Lambda's.
        deadline: when the function's time is over, on the ``time.time`` clock; infinite where
            nobody says.
        trace_id: AWS X-Ray's trace header; empty where there is none.
        echo: headers that go back with the answer.
    """

    __slots__ = ("deadline", "echo", "event", "request_id", "trace_id")

    def __init__(self, event: bytes, headers: Headers) -> None:
        self.event = event
        self.request_id = headers["lambda-runtime-aws-request-id"]
        self.deadline = float(headers.get("lambda-runtime-deadline-ms", "inf")) / 1000
        self.trace_id = headers.get("lambda-runtime-trace-id", "")
        self.echo = {n: v for n, v in headers.items() if n == _INVOCATION_ID}


class Answer:
    """What goes back for one event.

    Attributes:
        body: the bytes.
        content_type: of ``body``.
        streamed: whether it is sent as a stream, which may be larger than 6 MB.
    """

    __slots__ = ("body", "content_type", "streamed")

    def __init__(
        self, body: bytes, content_type: str = "application/json", *, streamed: bool = False
    ) -> None:
        self.body = body
        self.content_type = content_type
        self.streamed = streamed


class RuntimeApi:
    """The Runtime API as one worker uses it, one invocation after the other.

    Args:
        address: ``host:port``, from ``AWS_LAMBDA_RUNTIME_API``.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(self, address: str) -> None:
        self._connection = Connection(address)
        self._waiting = False
        self._stopped = False

    def next(self) -> Invocation | None:
        """Wait for an event; ``None`` once ``stop`` was called.

        Raises:
            ConnectionError: the Runtime API is gone.
            RuntimeApiError: it refuses.
        """
        # In this order, and in the other one in ``stop``, so that one of them sees the other.
        self._waiting = True
        if self._stopped:
            return None
        response = self._connection.call("GET", f"{RUNTIME}/invocation/next")
        self._waiting = False
        if response.status != 200:
            raise RuntimeApiError(f"next invocation: {_shown(response)}")
        return Invocation(response.body, response.headers)

    def stop(self) -> None:
        """From another thread: let no further event come; one that is here is still answered."""
        self._stopped = True
        if self._waiting:
            self._connection.interrupt()

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopped

    def respond(self, invocation: Invocation, answer: Answer) -> None:
        """Send the answer to an event."""
        headers = {"content-type": answer.content_type}
        if answer.streamed:
            headers["lambda-runtime-function-response-mode"] = "streaming"
        self._post(invocation, "response", headers, answer.body, chunked=answer.streamed)

    def fail(self, invocation: Invocation, raised: Exception) -> None:
        """Answer with an error, so that Lambda counts and, for asynchronous events, retries."""
        error = {**_describe(raised), "requestId": invocation.request_id}
        headers = {**_JSON, _ERROR_TYPE: type(raised).__name__}
        self._post(invocation, "error", headers, jsonio.dumps(error))

    def fail_to_start(self, raised: Exception) -> None:
        """Say that no invocation can be answered, and why."""
        headers = {**_JSON, _ERROR_TYPE: f"Runtime.{type(raised).__name__}"}
        body = jsonio.dumps(_describe(raised))
        self._connection.call("POST", f"{RUNTIME}/init/error", headers, body)

    def wait_for_restore(self) -> None:
        """Under SnapStart: be snapshotted here, and go on in a copy.

        Raises:
            RuntimeApiError: the copy cannot go on.
        """
        response = self._connection.call("GET", f"{RUNTIME}/restore/next")
        if response.status != 200:
            raise RuntimeApiError(f"restore: {_shown(response)}")

    def _post(
        self,
        invocation: Invocation,
        what: str,
        headers: Headers,
        body: bytes,
        *,
        chunked: bool = False,
    ) -> None:
        path = f"{RUNTIME}/invocation/{invocation.request_id}/{what}"
        headers = headers | invocation.echo
        response = self._connection.call("POST", path, headers, body, chunked=chunked)
        if response.status >= 500:
            raise RuntimeApiError(f"{what}: {_shown(response)}")
        if response.status != 202:  # The caller has been told: it was too late, or too large.
            log(
                "WARNING", f"Lambda did not take the {what}",
                request_id=invocation.request_id, detail=_shown(response),
            )  # fmt: skip


class InternalExtension:
    """An extension that does nothing but exist: only then does Lambda send SIGTERM before the end.

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html: it is registered
    before the first event is asked for, and asks for its own next event to end the INIT phase. None
    will come, so nobody waits for one: that request stays open for as long as this object lives.

    Args:
        address: ``host:port``, from ``AWS_LAMBDA_RUNTIME_API``.
    """

    def __init__(self, address: str) -> None:
        self._connection = Connection(address)
        try:
            identity = register(self._connection, EXTENSION_NAME, b"[]")
        except ExtensionRefused as refusal:
            log("INFO", "no extension, so no SIGTERM will come", detail=str(refusal))
            return
        self._connection.send("GET", NEXT_EVENT, identity)


def _describe(raised: Exception) -> dict[str, Any]:
    from traceback import format_exception  # no prediction needs it

    return {
        "errorMessage": str(raised),
        "errorType": type(raised).__name__,
        "stackTrace": format_exception(raised),
    }


def _shown(response: Response) -> str:
    return f"{response.status} {response.body[:500].decode(errors='replace')}"
