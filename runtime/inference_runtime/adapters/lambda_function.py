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
from inference_runtime.adapters.watchdog import Watchdog
from inference_runtime.errors import AnswerTooLarge, InferenceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.dataplane import DataPlane
    from inference_runtime.messages import Reply

# 6 MiB and 100 bytes is where Lambda answers "Response payload size exceeded": the emulator's
# MaxPayloadSize, https://github.com/aws/aws-lambda-runtime-interface-emulator. An envelope's other
# members and headers take less than the 10 KiB that are left for them.
LARGEST_ANSWER: Final = 6 * 1024 * 1024 + 100
# What a 504 takes to get out before Lambda ends the process, and with it the loaded model.
_MARGIN_S = 0.1
_LARGEST_BODY = LARGEST_ANSWER - 10 * 1024


class LambdaFunction:
    """Answers one event after the other, from several threads if need be.

    Args:
        plane: with the model loaded.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._watchdog = Watchdog()

    def answer(self, event: Any, request_id: str, deadline: float) -> Any:
        """Answer one event.

        Args:
            event: parsed JSON.
            request_id: Lambda's.
            deadline: when the function's time is over, on the ``time.time`` clock.

        Returns:
            The answer in the form that the sender of such an event reads.

        Raises:
            InferenceError: without HTTP around the event only, when the fault is ours.
        """
        if is_http(event):
            return self._answer_in_envelope(event, request_id, deadline)
        match event:
            case {"warmup": True}:
                return {"warmup": True}
            case _:
                with self._watchdog.limit(deadline - _MARGIN_S) as cancellation:
                    return self._plane.invoke(event, request_id, cancellation)

    def answer_http(self, event: Any, request_id: str, deadline: float) -> Reply:
        """Answer the request that an HTTP event carries, however large the answer."""
        request = read_request(event, request_id)
        try:
            request.body = read_body(event)
        except InferenceError as error:
            return self._plane.refuse(request, error)
        with self._watchdog.limit(deadline - _MARGIN_S) as request.cancellation:
            return self._plane.handle(request)

    def refuse(self, event: Any, error: InferenceError, request_id: str) -> Any:
        """The answer to an event without HTTP around it that a host will not pass on."""
        return self._plane.refuse_payload(event, error, request_id)

    def _answer_in_envelope(self, event: Any, request_id: str, deadline: float) -> Any:
        reply = self.answer_http(event, request_id, deadline)
        size = body_size(reply)
        if size > _LARGEST_BODY:
            error = too_large(size, _LARGEST_BODY)
            reply = self._plane.refuse(read_request(event, request_id), error)
        return envelope(event, reply)


def too_large(size: int, largest: int) -> AnswerTooLarge:
    """Why an answer of ``size`` bytes is not sent."""
    return AnswerTooLarge(
        f"the answer takes {size:,} bytes, and AWS Lambda carries {largest:,}: send smaller"
        " batches, ask for fewer outputs, or have the function stream its answers"
    )
