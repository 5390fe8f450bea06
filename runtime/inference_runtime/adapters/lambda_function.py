"""Events of AWS Lambda, whatever their form, answered with one data plane.

The managed runtime's handler and the Runtime API loop both come here.
"""

from __future__ import annotations

import time

from inference_runtime.adapters.lambda_http import (
    body_size,
    envelope,
    is_head,
    is_http,
    read_body,
    read_request,
)
from inference_runtime.adapters.watchdog import Watchdog
from inference_runtime.errors import AnswerTooLarge, InferenceError, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from inference_runtime.adapters.lambda_events import EventSources
    from inference_runtime.dataplane import DataPlane
    from inference_runtime.messages import Reply

# 6 MiB and 100 bytes is where Lambda answers "Response payload size exceeded": the emulator's
# MaxPayloadSize, https://github.com/aws/aws-lambda-runtime-interface-emulator. An envelope's other
# members and headers take less than the 10 KiB that are left for them.
LARGEST_ANSWER: Final = 6 * 1024 * 1024 + 100
# As long as a warm-up call keeps its environment busy at most: it costs as much as a run.
LONGEST_HOLD_MS: Final = 10_000
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
        self._event_sources: EventSources | None = None

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
                return self._warm_up(event, request_id, deadline)
        with self._watchdog.limit(deadline - _MARGIN_S) as cancellation:
            if _has_source(event):
                return self._sources().answer(event, request_id, cancellation)
            return self._plane.invoke(event, request_id, cancellation)

    def answer_http(self, event: Any, request_id: str, deadline: float) -> Reply:
        """Answer the request that an HTTP event carries, however large the answer."""
        reply = self._answer_request(event, request_id, deadline)
        if is_head(event):
            reply.body = b""
        return reply

    def refuse(self, event: Any, error: InferenceError, request_id: str) -> Any:
        """The answer to an event without HTTP around it that a host will not pass on."""
        return self._plane.refuse_payload(event, error, request_id)

    def _warm_up(self, event: Any, request_id: str, deadline: float) -> Any:
        hold_ms = event.get("hold_ms", 0)
        if type(hold_ms) is not int or not 0 <= hold_ms <= LONGEST_HOLD_MS:
            error = InvalidInput(
                f"hold_ms is {hold_ms!r}; it takes a whole number from 0 to {LONGEST_HOLD_MS}"
            )
            return self.refuse(event, error, request_id)
        self._plane.warm()
        time.sleep(max(0, min(hold_ms / 1000, deadline - _MARGIN_S - time.time())))
        return {"warmup": True}

    def _sources(self) -> EventSources:
        if self._event_sources is None:
            from inference_runtime.adapters.lambda_events import EventSources

            self._event_sources = EventSources(self._plane)
        return self._event_sources

    def _answer_request(self, event: Any, request_id: str, deadline: float) -> Reply:
        request = read_request(event, request_id)
        try:
            request.body = read_body(event)
        except InferenceError as error:
            return self._plane.refuse(request, error)
        with self._watchdog.limit(deadline - _MARGIN_S) as request.cancellation:
            return self._plane.handle(request)

    def _answer_in_envelope(self, event: Any, request_id: str, deadline: float) -> Any:
        reply = self.answer_http(event, request_id, deadline)
        size = body_size(reply)
        if size > _LARGEST_BODY:
            error = too_large(size, _LARGEST_BODY)
            reply = self._plane.refuse(read_request(event, request_id), error)
        return envelope(event, reply)


def _has_source(event: Any) -> bool:
    """Whether it is an event of ``lambda_events``, which few functions ever see."""
    match event:
        case {"Records": [{"eventSource": str()}, *_]} | {"Items": list()}:
            return True
        case {"detail-type": str(), "detail": _}:
            return True
    return False


def too_large(size: int, largest: int) -> AnswerTooLarge:
    """Why an answer of ``size`` bytes is not sent."""
    return AnswerTooLarge(
        f"the answer takes {size:,} bytes, and AWS Lambda carries {largest:,}: send smaller"
        " batches, ask for fewer outputs, or have the function stream its answers"
    )
