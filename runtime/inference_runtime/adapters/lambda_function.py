"""Events of AWS Lambda, whatever their form, answered with one data plane.

The managed runtime's handler and the Runtime API loop both come here.
"""

from __future__ import annotations

from inference_runtime.adapters.lambda_http import (
    body_size,
    envelope,
    is_http,
    read_body,
    read_request,
)
from inference_runtime.errors import AnswerTooLarge, InferenceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.dataplane import DataPlane
    from inference_runtime.engine import Cancellation
    from inference_runtime.messages import Reply

# 6 MiB and 100 bytes is where Lambda answers "Response payload size exceeded": the emulator's
# MaxPayloadSize, https://github.com/aws/aws-lambda-runtime-interface-emulator. An envelope's other
# members and headers take less than the 10 KiB that are left for them.
LARGEST_ANSWER: Final = 6 * 1024 * 1024 + 100
_LARGEST_BODY = LARGEST_ANSWER - 10 * 1024


class LambdaFunction:
    """Answers one event after the other, from several threads if need be.

    Args:
        plane: with the model loaded.
    """

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane

    def answer(self, event: Any, request_id: str, cancellation: Cancellation | None = None) -> Any:
        """Answer one event.

        Args:
            event: parsed JSON.
            request_id: Lambda's.
            cancellation: ends the run from another thread.

        Returns:
            The answer in the form that the sender of such an event reads.

        Raises:
            InferenceError: without HTTP around the event only, when the fault is ours.
        """
        if is_http(event):
            return self._answer_in_envelope(event, request_id, cancellation)
        match event:
            case {"warmup": True}:
                return {"warmup": True}
            case _:
                return self.plane.invoke(event, request_id, cancellation)

    def answer_http(
        self, event: Any, request_id: str, cancellation: Cancellation | None = None
    ) -> Reply:
        """Answer the request that an HTTP event carries, however large the answer."""
        request = read_request(event, request_id)
        request.cancellation = cancellation
        try:
            request.body = read_body(event)
        except InferenceError as error:
            return self.plane.refuse(request, error)
        return self.plane.handle(request)

    def _answer_in_envelope(
        self, event: Any, request_id: str, cancellation: Cancellation | None
    ) -> Any:
        reply = self.answer_http(event, request_id, cancellation)
        size = body_size(reply)
        if size > _LARGEST_BODY:
            error = too_large(size, _LARGEST_BODY)
            reply = self.plane.refuse(read_request(event, request_id), error)
        return envelope(event, reply)


def too_large(size: int, largest: int) -> AnswerTooLarge:
    """Why an answer of ``size`` bytes is not sent."""
    return AnswerTooLarge(
        f"the answer takes {size:,} bytes, and AWS Lambda carries {largest:,}: send smaller"
        " batches, ask for fewer outputs, ask for binary outputs, or have the function stream its"
        " answers"
    )
