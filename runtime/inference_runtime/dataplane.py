"""An HTTP-shaped request in, a reply out: the one place where errors end.

Adapters differ only in how they come by a ``Request`` and what they make of a ``Reply``.
"""

from __future__ import annotations

from itertools import count

from inference_runtime import observers
from inference_runtime.codecs.open_inference import HEADER_LENGTH
from inference_runtime.content_encoding import decompress
from inference_runtime.endpoints.open_inference import OpenInferenceEndpoints
from inference_runtime.endpoints.simple import SimpleEndpoints
from inference_runtime.errors import PayloadTooLarge
from inference_runtime.exchange import Exchange, json_reply
from inference_runtime.messages import Reply, Request
from inference_runtime.routing import Route, Router
from inference_runtime.settings import PROVISIONED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from inference_runtime.engine import Cancellation
    from inference_runtime.errors import InferenceError
    from inference_runtime.exchange import ErrorBody
    from inference_runtime.jsonio import Json
    from inference_runtime.observers import Observer
    from inference_runtime.repository import ModelRepository
    from inference_runtime.settings import Settings


# What a page may send, and read of an answer: https://fetch.spec.whatwg.org/#http-cors-protocol
_ALLOWED_HEADERS: Final = (
    f"authorization, content-encoding, content-type, {HEADER_LENGTH}, traceparent, x-api-key,"
    " x-request-id"
)
_EXPOSED_HEADERS: Final = f"{HEADER_LENGTH}, retry-after"


class DataPlane:
    """Answers requests from the models of one repository.

    Args:
        repository: the models.
        settings: of this process.

    Attributes:
        simple: answers the simple form.
        max_request_bytes: that a body may have.

    Example:
        >>> plane = serving.start(Settings.read({"MODEL_URI": "models/digits/digits.onnx"}))
        >>> plane.invoke({"features": [0.0] * 64}, "request-1")["model_version"]
        '1'
    """

    def __init__(self, repository: ModelRepository, settings: Settings) -> None:
        self.repository = repository
        self.settings = settings
        self.max_request_bytes = settings.max_request_bytes
        self.simple = SimpleEndpoints(repository, settings)
        self._open_inference = OpenInferenceEndpoints(repository, settings)
        self._observers = observers.create(settings)
        self._router = Router(self._routes())
        self._callers = count(1 if settings.lambda_initialization == PROVISIONED else 0)

    def handle(self, request: Request) -> Reply:
        """Answer an HTTP request. Never raises: an error is a reply."""
        exchange = Exchange(request, self._error_body(request.path))
        with exchange:
            exchange.reply = self._answer(exchange)
        return self._finish(exchange)

    def invoke(
        self, payload: Json, request_id: str, cancellation: Cancellation | None = None
    ) -> Json:
        """Answer a parsed payload that came without HTTP around it.

        The payload is of the simple form or an inference request of the Open Inference Protocol;
        the answer is of the same. The caller's mistakes come back as ``{"error": …}``.

        Raises:
            InferenceError: what is ours, so that the platform counts and retries it.
        """
        protocol = self.protocol(payload)
        request = Request("POST", "", {}, b"", request_id, cancellation)
        exchange = Exchange(request, protocol.error_body)
        answer: Json = None
        with exchange:
            answer = protocol.answer_object(payload, exchange)
        self.observe(exchange)
        if exchange.error is None:
            return answer
        if exchange.error.fault == "server":
            raise exchange.error
        return protocol.error_body(exchange.error, request_id)

    def refuse_payload(self, payload: Json, error: InferenceError, request_id: str) -> Json:
        """The answer to a payload that an adapter will not pass on, or whose answer it refuses."""
        protocol = self.protocol(payload)
        exchange = Exchange(Request("POST", "", {}, b"", request_id), protocol.error_body)
        with exchange:
            raise error
        self.observe(exchange)
        return protocol.error_body(error, request_id)

    def refuse(self, request: Request, error: InferenceError) -> Reply:
        """The reply to a request that an adapter will not pass on."""
        exchange = Exchange(request, self._error_body(request.path))
        with exchange:
            raise error
        return self._finish(exchange)

    def _routes(self) -> list[Route]:
        routes = [*self.simple.routes(), *self._open_inference.routes()]
        for observer in self._observers:
            routes.extend(observer.routes())
        return [*routes, Route("GET", "/openapi.json", self._openapi)]

    def _openapi(self, _exchange: Exchange) -> Reply:
        """This document."""
        from inference_runtime.endpoints.openapi import document  # no prediction needs it

        return json_reply(document(self.repository.default, self._router.routes))

    def _answer(self, exchange: Exchange) -> Reply:
        request = exchange.request
        if request.method == "OPTIONS" and self.settings.cors_origins:
            return Reply(204, {}, b"")
        route, exchange.parameters = self._router.find(request.method, request.path)
        exchange.body = self._body(request)
        return route.answer(exchange)

    def _body(self, request: Request) -> bytes:
        limit = self.max_request_bytes
        if len(request.body) > limit:
            raise PayloadTooLarge.body(len(request.body), limit)
        encoding = request.headers.get("content-encoding")
        return decompress(request.body, encoding, limit) if encoding else request.body

    def _error_body(self, path: str) -> ErrorBody:
        """Each protocol's clients parse their own form of error."""
        is_protocol = path == "/v2" or path.startswith("/v2/")
        return self._open_inference.error_body if is_protocol else self.simple.error_body

    def _finish(self, exchange: Exchange) -> Reply:
        if self.settings.cors_origins:
            origin = exchange.request.headers.get("origin")
            exchange.reply.headers |= self._cors_headers(origin)
        self.observe(exchange)
        return exchange.reply

    def protocol(self, payload: Json) -> SimpleEndpoints | OpenInferenceEndpoints:
        """What answers a parsed request, by its content."""
        return self._open_inference if _is_open_inference(payload) else self.simple

    def add_routes(self, routes: Sequence[Route]) -> None:
        """Have ``routes`` answered from now on, before any others of the same paths."""
        self._router = Router((*routes, *self._router.routes))

    def warm(self) -> None:
        """Count a warm-up, so that whoever comes next has not waited for the start."""
        next(self._callers)

    def add_observer(self, observer: Observer) -> None:
        """Have ``observer`` told of each request from now on."""
        self._observers.append(observer)

    def close(self) -> None:
        """Have the observers send what is left; the process ends."""
        for observer in self._observers:
            observer.close()

    def observe(self, exchange: Exchange) -> None:
        """Take note of a finished request: count it, log it, measure it."""
        exchange.close()
        exchange.cold_start = exchange.batch_size is not None and next(self._callers) == 0
        for observer in self._observers:
            observer.observe(exchange)

    def _cors_headers(self, origin: str | None) -> dict[str, str]:
        allowed = self.settings.cors_origins
        vary = {"vary": "origin"}  # for caches, whether this origin may read the answer or not
        if origin is None or ("*" not in allowed and origin not in allowed):
            return vary
        return {
            "access-control-allow-origin": "*" if "*" in allowed else origin,
            "access-control-allow-methods": "GET, POST, OPTIONS",
            "access-control-allow-headers": _ALLOWED_HEADERS,
            "access-control-expose-headers": _EXPOSED_HEADERS,
            **vary,
        }


def _is_open_inference(payload: Json) -> bool:
    """The protocol's ``inputs`` is a list; the simple form's is an object."""
    return isinstance(payload, dict) and isinstance(payload.get("inputs"), list)
