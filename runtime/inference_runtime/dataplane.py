"""An HTTP-shaped request in, a reply out: routes, codecs, and the one place where errors end.

Adapters differ only in how they come by a ``Request`` and what they make of a ``Reply``.
"""

from __future__ import annotations

from inference_runtime import jsonio
from inference_runtime.codecs.simple import SimpleForm
from inference_runtime.errors import (
    InferenceError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
)
from inference_runtime.telemetry import RequestLog, Stopwatch, log_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from inference_runtime.jsonio import Json
    from inference_runtime.service import InferenceService
    from inference_runtime.settings import Settings

HEALTH_PATH: Final = "/health"


class Request:
    """A request, whatever brought it.

    Attributes:
        method: in capitals.
        path: from the root, without stage or query.
        headers: by lower-case name.
        body: as sent, after any transfer encoding of the platform's envelope.
        request_id: the platform's own id.
    """

    __slots__ = ("body", "headers", "method", "path", "request_id")

    def __init__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, request_id: str
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.request_id = request_id


class Reply:
    """An answer, whatever carries it back.

    Attributes:
        status: the HTTP status.
        headers: by lower-case name.
        body: empty, or JSON in UTF-8.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class DataPlane:
    """Answers requests with one service's predictions.

    Args:
        service: the model.
        settings: of this process.
    """

    def __init__(self, service: InferenceService, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._form = SimpleForm(service.signature, service.version, settings.non_finite)
        self._log = RequestLog(service)

    def handle(self, request: Request) -> Reply:
        """Answer an HTTP request. Never raises: an error is a reply."""
        exchange = _Exchange(request.request_id)
        with exchange:
            exchange.answer = self._route(request, exchange)
        return self._reply(exchange, request.headers.get("origin"))

    def invoke(self, payload: Json, request_id: str) -> dict[str, Json]:
        """Answer a parsed payload that came without HTTP around it.

        The caller's mistakes come back as ``{"error": …}``.

        Raises:
            InferenceError: what is ours, so that the platform counts and retries it.
        """
        exchange = _Exchange(request_id)
        with exchange:
            exchange.answer = self._predict(payload, exchange)
        self._write(exchange)
        if exchange.error is not None and exchange.error.fault == "server":
            raise exchange.error
        return exchange.answer

    def refuse(self, error: InferenceError, request_id: str) -> Reply:
        """The reply to a request whose envelope an adapter could not read."""
        exchange = _Exchange(request_id)
        with exchange:
            raise error
        return self._reply(exchange, None)

    def health(self) -> dict[str, Json]:
        """Who is here: the model's name and version. A process that answers is ready."""
        return {
            "status": "ok",
            "model": self._service.name,
            "model_version": self._service.version,
        }

    def _route(self, request: Request, exchange: _Exchange) -> dict[str, Json]:
        methods = self._methods(request.path)
        if request.method == "OPTIONS" and self._settings.cors_origins:
            exchange.status = 204
            return {}
        if request.method not in methods:
            raise MethodNotAllowed(
                f"{request.method} is not allowed on {request.path}; use {' or '.join(methods)}"
            )
        if request.path == HEALTH_PATH:
            return self.health()
        self._check_size(len(request.body))
        return self._predict(jsonio.loads(request.body), exchange)

    def _methods(self, path: str) -> tuple[str, ...]:
        if path == self._settings.predict_path:
            return ("POST",)
        if path == HEALTH_PATH:
            return ("GET",)
        raise NotFound(
            f"no such path {path!r}; there are POST {self._settings.predict_path}"
            f" and GET {HEALTH_PATH}"
        )

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_request_bytes:
            raise PayloadTooLarge(
                f"the body has {size:,} bytes; at most {self._settings.max_request_bytes:,} are"
                " allowed: send smaller batches"
            )

    def _predict(self, payload: Json, exchange: _Exchange) -> dict[str, Json]:
        call = self._form.decode(payload)
        exchange.batch_size = call.batch_size
        exchange.watch.lap("decode")
        outputs = self._service.infer(call.inputs)
        exchange.watch.lap("run")
        return self._form.encode(call, outputs)

    def _reply(self, exchange: _Exchange, origin: str | None) -> Reply:
        headers = self._cors_headers(origin)
        body = b""
        if exchange.status != 204:
            body = jsonio.dumps(exchange.answer)
            headers["content-type"] = "application/json"
        self._write(exchange)
        return Reply(exchange.status, headers, body)

    def _cors_headers(self, origin: str | None) -> dict[str, str]:
        allowed = self._settings.cors_origins
        if origin is None or ("*" not in allowed and origin not in allowed):
            return {}
        return {
            "access-control-allow-origin": origin if "*" not in allowed else "*",
            "access-control-allow-methods": "GET, POST, OPTIONS",
            "access-control-allow-headers": "content-type, authorization, x-api-key",
            "vary": "origin",
        }

    def _write(self, exchange: _Exchange) -> None:
        exchange.watch.lap("encode")
        self._log.write(
            exchange.request_id,
            exchange.status,
            exchange.watch,
            exchange.batch_size,
            exchange.error,
        )


class _Exchange:
    """One request on its way. As a context it turns whatever is raised into its answer."""

    __slots__ = ("answer", "batch_size", "error", "request_id", "status", "watch")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.watch = Stopwatch()
        self.status = 200
        self.answer: dict[str, Json] = {}
        self.batch_size: int | None = None
        self.error: InferenceError | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, raised: BaseException | None, _trace: object) -> bool:
        if not isinstance(raised, Exception):
            return False
        self.watch.lap("failed")
        self.error = raised if isinstance(raised, InferenceError) else _internal(raised)
        if self.error.fault == "server":
            log_exception("request failed", raised, request_id=self.request_id)
        self.status = self.error.status
        self.answer = {"error": self._error_body(self.error)}
        return True

    def _error_body(self, error: InferenceError) -> dict[str, Json]:
        body: dict[str, Json] = {"code": error.code, "message": str(error)}
        if error.fault == "server":
            body["request_id"] = self.request_id
        return body


def _internal(raised: Exception) -> InferenceError:
    """What a caller may see of an exception nobody foresaw."""
    error = InferenceError("an internal error; the log has it under this request id")
    error.__cause__ = raised
    return error
