"""What can go wrong, and whose fault it is.

Each class carries its HTTP status and a stable code. ``dataplane.py`` alone turns them into
replies.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

# Messages quote what came, which may be a whole body; with every variable at fault in them, those
# of settings have about as many characters.
LONGEST_MESSAGE: Final = 10_000


class InferenceError(Exception):
    """A failure with a status. ``str(error)`` is safe to show to the caller, and to log: it is
    Unicode, and not without end.

    Attributes:
        status: the HTTP status.
        code: a stable, machine-readable name.
        retry_after: seconds after which another try makes sense; ``None`` where it makes none.
        allow: the methods that the path has, where another was asked for.

    Example:
        >>> error = NotReady("the model digits is loading")
        >>> error.status, error.code, error.fault, error.retry_after
        (503, 'NOT_READY', 'server', 1)
    """

    status = 500
    code = "INTERNAL"
    retry_after: int | None = None
    allow: tuple[str, ...] = ()

    def __str__(self) -> str:
        message = super().__str__()
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}…"
        return message.encode(errors="backslashreplace").decode()

    @property
    def fault(self) -> str:
        """``client`` for what the caller can mend, ``server`` for what is ours."""
        return "client" if self.status < 500 else "server"


class MalformedBody(InferenceError):
    """The body is empty, not JSON, or not of the shape that the route reads."""

    status = 400
    code = "MALFORMED_BODY"


class InvalidInput(InferenceError):
    """A tensor does not fit the model's signature.

    A user's pipeline raises it to blame the caller.

    Example:
        >>> raise InvalidInput("image has 63 pixels; the model takes 64")
        Traceback (most recent call last):
        ...
        inference_runtime.errors.InvalidInput: image has 63 pixels; the model takes 64
    """

    status = 400
    code = "INVALID_INPUT"


class NotFound(InferenceError):
    """No such path, model or version."""

    status = 404
    code = "NOT_FOUND"


class MethodNotAllowed(InferenceError):
    """The path exists, with another method."""

    status = 405
    code = "METHOD_NOT_ALLOWED"

    def __init__(self, message: str, allow: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.allow = tuple(allow)


class ModelControlOff(InferenceError):
    """Models may not be loaded or unloaded from outside."""

    status = 403
    code = "MODEL_CONTROL_OFF"


class PayloadTooLarge(InferenceError):
    """The body is larger than ``INFERENCE_MAX_REQUEST_BYTES``."""

    status = 413
    code = "PAYLOAD_TOO_LARGE"

    @classmethod
    def body(cls, size: int, limit: int) -> PayloadTooLarge:
        """For a body of ``size`` bytes, as far as it was read, where ``limit`` are allowed."""
        return cls(
            f"the body has {size:,} bytes; at most {limit:,} are allowed: send smaller batches"
        )


class AnswerTooLarge(InferenceError):
    """The answer is larger than the platform carries. The caller can ask for less at once."""

    status = 413
    code = "ANSWER_TOO_LARGE"


class UnsupportedEncoding(InferenceError):
    """The body has a Content-Encoding that is not read."""

    status = 415
    code = "UNSUPPORTED_ENCODING"


class Overloaded(InferenceError):
    """More requests wait than the queue takes. Worth another try, elsewhere or later."""

    status = 429
    code = "OVERLOADED"
    retry_after = 1


class ClientGone(InferenceError):
    """The client closed its connection before the answer; only the log sees this status."""

    status = 499  # nginx's: https://nginx.org/en/docs/dev/development_guide.html#http_request
    code = "CLIENT_GONE"


class NotReady(InferenceError):
    """The model is not loaded, or not yet."""

    status = 503
    code = "NOT_READY"
    retry_after = 1


class DeadlineExceeded(InferenceError):
    """The run took longer than its deadline and was ended."""

    status = 504
    code = "DEADLINE_EXCEEDED"


class ModelFailed(InferenceError):
    """The model could not run, and not because of its input."""

    status = 500
    code = "MODEL_FAILED"


class PipelineFailed(InferenceError):
    """The user's own code around the model failed, and not because of the request."""

    status = 500
    code = "PIPELINE_FAILED"


class AwsCallFailed(InferenceError):
    """A service of AWS that an event needs did not do what it was asked. Worth another try."""

    status = 500
    code = "AWS_CALL_FAILED"


class BatchFailed(InferenceError):
    """Inputs of a batch are not done, and not because of what is in them. Worth another try."""

    code = "BATCH_FAILED"


class InvalidSettings(InferenceError):
    """An environment variable holds a value that is not allowed. Raised at start only."""

    code = "INVALID_SETTINGS"


class ModelNotLoaded(InferenceError):
    """The model's file is missing, unreadable, or not servable. Raised at start only."""

    code = "MODEL_NOT_LOADED"
