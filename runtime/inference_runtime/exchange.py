"""One request on its way through the data plane, and all that is learnt of it for the log."""

from __future__ import annotations

from inference_runtime import jsonio
from inference_runtime.errors import InferenceError
from inference_runtime.messages import Reply
from inference_runtime.telemetry import Stopwatch, log_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from inference_runtime.jsonio import Json
    from inference_runtime.messages import Request
    from inference_runtime.repository import Entry
    from inference_runtime.tensor import Tensor

    ErrorBody = Callable[[InferenceError, str], Json]


# Of a payload that came without HTTP around it, it is all there is.
_NOT_YET: Final = Reply(200, {}, b"")


class Exchange:
    """A request, and step by step its reply. As a context it turns what is raised into one.

    Attributes:
        request: as the adapter made it.
        body: decompressed.
        parameters: of the path, by the names in the route's pattern.
        entry: the model that is asked for, once that is known.
        batch_size: rows of its first input, once that is decoded.
        cold_start: whether its caller waited for the start: the first that runs, without a warm-up.
        watch: the parts queue (where the host has one), decode, run and encode, as far as the
            request came.
        error: what was raised instead of an answer.
        error_body: shows it as the caller's protocol does.
        reply: the answer.
    """

    __slots__ = (
        "batch_size", "body", "cold_start", "entry", "error", "error_body", "parameters", "reply",
        "request", "watch",
    )  # fmt: skip

    def __init__(self, request: Request, error_body: ErrorBody) -> None:
        self.request = request
        self.body = request.body
        self.parameters: dict[str, str] = {}
        self.entry: Entry | None = None
        self.batch_size: int | None = None
        self.cold_start = False
        self.watch = Stopwatch(request.received)
        if request.received is not None:
            self.watch.lap("queue")
        self.error: InferenceError | None = None
        self.reply = _NOT_YET
        self.error_body = error_body

    def answer(self, call: ModelCall) -> Json:
        """Run a call and write its answer.

        Raises:
            InferenceError: as ``run``.
        """
        return call.encode(self.run(call.entry, call.inputs, call.outputs))

    def run(
        self, entry: Entry, inputs: dict[str, Tensor], outputs: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        """Run the model that ``entry`` holds on decoded inputs, and time both.

        Raises:
            InferenceError: as ``InferenceService.infer``.
        """
        shape = next(iter(inputs.values())).shape if inputs else ()
        self.batch_size = shape[0] if shape else 1
        self.watch.lap("decode")
        results = entry.ready_service().infer(inputs, outputs, self.request.cancellation)
        self.watch.lap("run")
        return results

    def close(self) -> None:
        """End the last part, and count the request for its model if it came as far as a run."""
        self.watch.lap("encode")
        if self.entry is not None and self.batch_size is not None:
            self.entry.statistics.record(
                self.watch.seconds, self.batch_size, success=self.error is None
            )

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, raised: BaseException | None, _trace: object) -> bool:
        if not isinstance(raised, Exception):
            return False
        self.watch.lap("failed")
        self.error = raised if isinstance(raised, InferenceError) else _internal(raised)
        if self.error.status == 500:
            log_exception("request failed", raised, request_id=self.request.request_id)
        self.reply = json_reply(
            self.error_body(self.error, self.request.request_id), self.error.status
        )
        if self.error.retry_after is not None:
            self.reply.headers["retry-after"] = str(self.error.retry_after)
        if self.error.allow:
            self.reply.headers["allow"] = ", ".join(self.error.allow)
        return True


class ModelCall:
    """A decoded request to a model, whatever its protocol: it may run alone or with others.

    Attributes:
        entry: the model.
        inputs: tensors by name.
        encode: from the run's outputs to what the caller reads.
        outputs: the outputs to compute; every one of the model's when empty.
    """

    __slots__ = ("encode", "entry", "inputs", "outputs")

    def __init__(
        self,
        entry: Entry,
        inputs: dict[str, Tensor],
        encode: Callable[[dict[str, Tensor]], Json],
        outputs: Sequence[str] = (),
    ) -> None:
        self.entry = entry
        self.inputs = inputs
        self.encode = encode
        self.outputs = outputs


def json_reply(value: Json, status: int = 200) -> Reply:
    """A reply with ``value`` as its JSON body."""
    return Reply(status, {"content-type": "application/json"}, jsonio.dumps(value))


def _internal(raised: Exception) -> InferenceError:
    """What a caller may see of an exception nobody foresaw."""
    error = InferenceError("an internal error; the log has it under this request id")
    error.__cause__ = raised
    return error
