"""The Open Inference Protocol (V2 REST) with Triton's repository, configuration and statistics
extensions: https://github.com/open-inference/open-inference-protocol and
https://github.com/triton-inference-server/server/tree/main/docs/protocol.
"""

from __future__ import annotations

from inference_runtime import __version__, jsonio
from inference_runtime.codecs import open_inference
from inference_runtime.errors import InvalidInput, MalformedBody, ModelControlOff
from inference_runtime.exchange import ModelCall, json_reply
from inference_runtime.messages import Reply
from inference_runtime.repository import READY
from inference_runtime.routing import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from inference_runtime.errors import InferenceError
    from inference_runtime.exchange import Exchange
    from inference_runtime.jsonio import Json
    from inference_runtime.repository import Entry, ModelRepository
    from inference_runtime.settings import Settings
    from inference_runtime.signature import TensorSpec
    from inference_runtime.tensor import Tensor

PLATFORM: Final = "onnxruntime_onnx"
BINARY_TYPE: Final = "application/octet-stream"
EXTENSIONS: Final = ("binary_tensor_data", "model_repository", "model_configuration", "statistics")

_CONFIG_TYPES = {"BYTES": "TYPE_STRING"}


class OpenInferenceEndpoints:
    """Everything below ``/v2``.

    Args:
        repository: the models.
        settings: of this process.
    """

    def __init__(self, repository: ModelRepository, settings: Settings) -> None:
        self._repository = repository
        self._settings = settings

    def routes(self) -> tuple[Route, ...]:
        """The paths that are answered here."""
        model_routes = (
            ("GET", "", self.model_metadata),
            ("GET", "/ready", self.model_ready),
            ("POST", "/infer", self.infer),
            ("GET", "/config", self.model_config),
            ("GET", "/stats", self.model_statistics),
        )
        model_paths = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
        return (
            Route("GET", "/v2", self.server_metadata),
            Route("GET", "/v2/health/live", self.live),
            Route("GET", "/v2/health/ready", self.ready),
            Route("GET", "/v2/models/stats", self.statistics),
            Route("POST", "/v2/repository/index", self.repository_index),
            Route("POST", "/v2/repository/models/{model}/load", self.load),
            Route("POST", "/v2/repository/models/{model}/unload", self.unload),
            *(
                Route(method, path + tail, answer)
                for path in model_paths
                for method, tail, answer in model_routes
            ),
        )

    def server_metadata(self, _exchange: Exchange) -> Reply:
        """Who serves."""
        return json_reply(
            {"name": "inference-runtime", "version": __version__, "extensions": list(EXTENSIONS)}
        )

    def live(self, _exchange: Exchange) -> Reply:
        """The process answers."""
        return json_reply({"live": True})

    def ready(self, _exchange: Exchange) -> Reply:
        """Whether every model answers: 200, or 503."""
        ready = self._repository.ready
        return json_reply({"ready": ready}, 200 if ready else 503)

    def model_ready(self, exchange: Exchange) -> Reply:
        """Whether one model answers: 200, or 503."""
        entry = self._entry(exchange)
        ready = entry.state == READY
        return json_reply({"name": entry.name, "ready": ready}, 200 if ready else 503)

    def model_metadata(self, exchange: Exchange) -> Reply:
        """The model's versions and signature."""
        entry = self._entry(exchange)
        signature = entry.ready_service().signature
        versions: list[Json] = [e.version for e in self._repository.entries if e.name == entry.name]
        return json_reply(
            {
                "name": entry.name,
                "versions": versions,
                "platform": PLATFORM,
                "inputs": [_metadata(spec) for spec in signature.inputs.values()],
                "outputs": [_metadata(spec) for spec in signature.outputs.values()],
            }
        )

    def model_config(self, exchange: Exchange) -> Reply:
        """The model's configuration, as Triton's clients read it."""
        entry = self._entry(exchange)
        signature = entry.ready_service().signature
        return json_reply(
            {
                "name": entry.name,
                "platform": PLATFORM,
                "backend": "onnxruntime",
                "version_policy": {"latest": {"num_versions": 1}},
                "max_batch_size": 0,
                "input": [_configured(spec) for spec in signature.inputs.values()],
                "output": [_configured(spec) for spec in signature.outputs.values()],
            }
        )

    def infer(self, exchange: Exchange) -> Reply:
        """A prediction: see ``codecs.open_inference``."""
        entry = self._entry(exchange)
        length = exchange.request.headers.get(open_inference.HEADER_LENGTH)
        signature = entry.ready_service().signature
        request = open_inference.decode(exchange.body, length, signature)
        results = exchange.run(entry, request.inputs, request.output_names)
        body, header_length = self._encode(request, results, entry)
        if header_length is None:
            return Reply(200, {"content-type": "application/json"}, body)
        headers = {"content-type": BINARY_TYPE, open_inference.HEADER_LENGTH: str(header_length)}
        return Reply(200, headers, body, is_binary=True)

    def answer_object(self, payload: Json, exchange: Exchange) -> Json:
        """The answer to a parsed inference request for the default model.

        Raises:
            InferenceError: as ``read_object`` and ``InferenceService.infer``.
        """
        return exchange.answer(self.read_object(payload, exchange))

    def read_object(self, payload: Json, exchange: Exchange) -> ModelCall:
        """A parsed inference request as a call of the default model.

        Raises:
            InferenceError: as ``open_inference.decode_object``.
        """
        exchange.entry = entry = self._repository.default
        request = open_inference.decode_object(payload, entry.ready_service().signature)
        for output in request.outputs:
            output.binary = False  # JSON has no place for raw bytes.
        request.binary = False

        def encode(results: dict[str, Tensor]) -> Json:
            return jsonio.loads(self._encode(request, results, entry)[0])

        return ModelCall(entry, request.inputs, encode, request.output_names)

    def statistics(self, _exchange: Exchange) -> Reply:
        """Counters of every model."""
        return json_reply({"model_stats": [_statistics(e) for e in self._repository.entries]})

    def model_statistics(self, exchange: Exchange) -> Reply:
        """Counters of one model."""
        return json_reply({"model_stats": [_statistics(self._entry(exchange))]})

    def repository_index(self, exchange: Exchange) -> Reply:
        """Every model and its state; with ``{"ready": true}``, only those that are ready."""
        only_ready = _object(exchange).get("ready") is True
        return json_reply(
            [
                {"name": e.name, "version": e.version, "state": e.state, "reason": e.reason}
                for e in self._repository.entries
                if e.state == READY or not only_ready
            ]
        )

    def load(self, exchange: Exchange) -> Reply:
        """Load a model, where ``INFERENCE_MODEL_CONTROL`` allows it."""
        entry = self._controlled_entry(exchange)
        _check_parameters(exchange, ())
        entry.load()
        return json_reply({})

    def unload(self, exchange: Exchange) -> Reply:
        """Unload a model, where ``INFERENCE_MODEL_CONTROL`` allows it."""
        entry = self._controlled_entry(exchange)
        _check_parameters(exchange, ("unload_dependents",))  # no model has any
        entry.unload()
        return json_reply({})

    def error_body(self, error: InferenceError, request_id: str) -> Json:
        """``{"error": "message"}``, with the request's id in it when the fault is ours."""
        suffix = f" (request id {request_id})" if error.fault == "server" else ""
        return {"error": f"{error}{suffix}"}

    def _encode(
        self, request: open_inference.InferRequest, results: dict[str, Tensor], entry: Entry
    ) -> tuple[bytes, int | None]:
        return open_inference.encode(
            request, results, entry.name, entry.version, self._settings.non_finite
        )

    def _entry(self, exchange: Exchange) -> Entry:
        named = exchange.parameters
        exchange.entry = entry = self._repository.find(named["model"], named.get("version"))
        return entry

    def _controlled_entry(self, exchange: Exchange) -> Entry:
        if self._settings.model_control != "explicit":
            raise ModelControlOff(
                "loading and unloading are off; start with INFERENCE_MODEL_CONTROL=explicit"
            )
        return self._entry(exchange)


def _object(exchange: Exchange) -> dict[str, Json]:
    """The body, which may be left out.

    Raises:
        MalformedBody: it is something else.
    """
    value = jsonio.loads(exchange.body) if exchange.body else {}
    if not isinstance(value, dict):
        raise MalformedBody("the body must be an object, or empty")
    return value


def _check_parameters(exchange: Exchange, known: Sequence[str]) -> None:
    """Refuse what would be left undone: a configuration or files for the model, for example."""
    parameters = _object(exchange).get("parameters", {})
    if not isinstance(parameters, dict):
        raise MalformedBody("'parameters' must be an object")
    for name in parameters:
        if name not in known:
            raise InvalidInput(
                f"the parameter {name!r} is not known here: models are loaded as they are stored"
            )


def _metadata(spec: TensorSpec) -> Json:
    return {"name": spec.name, "datatype": spec.datatype.name, "shape": _sizes(spec)}


def _configured(spec: TensorSpec) -> Json:
    name = spec.datatype.name
    return {
        "name": spec.name,
        "data_type": _CONFIG_TYPES.get(name, f"TYPE_{name}"),
        "dims": _sizes(spec),
    }


def _sizes(spec: TensorSpec) -> list[Json]:
    return [size if isinstance(size, int) else -1 for size in spec.shape]


def _statistics(entry: Entry) -> dict[str, Json]:
    return {"name": entry.name, "version": entry.version, **entry.statistics.describe()}
