"""Answers invocations from Lambda's Runtime API: see ``aws_lambda_runtime``."""

from __future__ import annotations

import os
from _signal import SIGTERM, signal  # type: ignore[import-not-found] # signal.py imports enum
from threading import Semaphore, Thread

from inference_runtime import jsonio
from inference_runtime.adapters.lambda_function import LARGEST_ANSWER, LambdaFunction, too_large
from inference_runtime.adapters.lambda_http import is_http
from inference_runtime.adapters.lambda_runtime_api import (
    Answer,
    InternalExtension,
    RuntimeApi,
    RuntimeApiError,
)
from inference_runtime.errors import InferenceError
from inference_runtime.settings import SNAP_START, TRACE_ID
from inference_runtime.telemetry import log_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.adapters.lambda_runtime_api import Invocation
    from inference_runtime.dataplane import DataPlane
    from inference_runtime.jsonio import Json
    from inference_runtime.messages import Reply

# Status and headers as JSON, eight NULs, the body:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
_HTTP_STREAM = "application/vnd.awslambda.http-integration-response"
_PRELUDE_END = bytes(8)


class Worker:
    """Answers one invocation after the other.

    Args:
        api: its own; no other worker uses it.
        function: shared by all workers.
        streaming: whether HTTP answers, and any above 6 MB, are streamed.
        alone: whether there is no other, so that the process's environment is its own.
    """

    def __init__(
        self, api: RuntimeApi, function: LambdaFunction, *, streaming: bool, alone: bool
    ) -> None:
        self.api = api
        self._function = function
        self._streaming = streaming
        self._alone = alone

    def work(self) -> None:
        """Answer invocations until the API is stopped.

        Raises:
            ConnectionError: the Runtime API is gone.
            RuntimeApiError: it refuses.
        """
        try:
            while (invocation := self.api.next()) is not None:
                self._serve(invocation)
        except (ConnectionError, RuntimeApiError):
            if not self.api.stopped:  # else the platform has gone first
                raise

    def _serve(self, invocation: Invocation) -> None:
        if self._alone:
            os.environ[TRACE_ID] = invocation.trace_id
        try:
            answer = self._answer(invocation)
        except Exception as error:
            if not isinstance(error, InferenceError):
                log_exception("invocation failed", error, request_id=invocation.request_id)
            self.api.fail(invocation, error)
        else:
            self.api.respond(invocation, answer)

    def _answer(self, invocation: Invocation) -> Answer:
        request_id, deadline = invocation.request_id, invocation.deadline
        try:
            event = jsonio.loads(invocation.event)
        except InferenceError as error:
            return Answer(jsonio.dumps(self._function.refuse(None, error, request_id)))
        if self._streaming and is_http(event):
            return _stream(self._function.answer_http(event, request_id, deadline))
        answer = Answer(jsonio.dumps(self._function.answer(event, request_id, deadline)))
        return self._fitting(answer, event, request_id)

    def _fitting(self, answer: Answer, event: Json, request_id: str) -> Answer:
        """``answer`` if Lambda carries as much, or what goes back instead."""
        size = len(answer.body)
        if size <= LARGEST_ANSWER:
            return answer
        if self._streaming:
            return Answer(answer.body, streamed=True)
        error = too_large(size, LARGEST_ANSWER)
        return Answer(jsonio.dumps(self._function.refuse(event, error, request_id)))


class Host:
    """The workers of this process, and its end.

    Args:
        plane: its model is loaded when ``serve`` is called.
        address: of the Runtime API.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(self, plane: DataPlane, address: str) -> None:
        self._plane = plane
        self._address = address
        self._ended = Semaphore(0)
        self._failure: BaseException | None = None
        self._is_snapshotted = plane.settings.lambda_initialization == SNAP_START
        if not self._is_snapshotted:
            self._connect()

    def _connect(self) -> None:
        address, settings = self._address, self._plane.settings
        function = LambdaFunction(self._plane)
        streaming = settings.invoke_mode == "RESPONSE_STREAM"
        count = settings.lambda_concurrency
        self._workers = [
            Worker(RuntimeApi(address), function, streaming=streaming, alone=count == 1)
            for _ in range(count)
        ]
        self._extension = InternalExtension(address)

    def serve(self) -> None:
        """Answer until SIGTERM.

        Raises:
            ConnectionError: the Runtime API is gone.
            RuntimeApiError: it refuses.
        """
        if self._is_snapshotted:  # Nothing is connected when the snapshot is taken.
            from inference_runtime.adapters import snapstart

            snapstart.go_through(RuntimeApi(self._address).wait_for_restore)
            self._connect()
        signal(SIGTERM, self._stop)
        for worker in self._workers:
            Thread(target=self._run, args=(worker,), daemon=True).start()
        for _ in self._workers:
            self._ended.acquire()
            if self._failure is not None:
                raise self._failure
        self._plane.close()

    def _run(self, worker: Worker) -> None:
        try:
            worker.work()
        except BaseException as error:
            self._failure = error
        finally:
            self._ended.release()

    def _stop(self, *_: object) -> None:
        for worker in self._workers:
            worker.api.stop()


def _stream(reply: Reply) -> Answer:
    prelude = jsonio.dumps({"statusCode": reply.status, "headers": reply.headers})
    return Answer(prelude + _PRELUDE_END + reply.body, _HTTP_STREAM, streamed=True)
