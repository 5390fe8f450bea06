"""``POST /predict``, ``POST /models/{model}/predict`` and ``GET /health``."""

from __future__ import annotations

from inference_runtime import jsonio
from inference_runtime.codecs.simple import SimpleForm
from inference_runtime.exchange import ModelCall, json_reply
from inference_runtime.routing import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.codecs.pipeline import Pipeline
    from inference_runtime.errors import InferenceError
    from inference_runtime.exchange import Exchange
    from inference_runtime.jsonio import Json
    from inference_runtime.messages import Reply
    from inference_runtime.repository import Entry, ModelRepository
    from inference_runtime.settings import Settings


class SimpleEndpoints:
    """The simple form, for the repository's default model and for each by its name.

    Args:
        repository: the models.
        settings: of this process.
    """

    def __init__(self, repository: ModelRepository, settings: Settings) -> None:
        self._repository = repository
        self._settings = settings
        self._pipeline: Pipeline | None = None
        if settings.pipeline:
            from inference_runtime.codecs.pipeline import load_pipeline  # it imports numpy

            self._pipeline = load_pipeline(settings.pipeline)

    def routes(self) -> tuple[Route, ...]:
        """The paths that are answered here."""
        return (
            Route("POST", self._settings.predict_path, self.predict),
            Route("POST", "/models/{model}/predict", self.predict_by_name),
            Route("GET", "/health", self.health),
        )

    def predict(self, exchange: Exchange) -> Reply:
        """A prediction: see ``codecs.simple``."""
        return json_reply(self.answer_object(jsonio.loads(exchange.body), exchange))

    def predict_by_name(self, exchange: Exchange) -> Reply:
        """A prediction of the model that the path names, in its latest version."""
        entry = self._repository.find(exchange.parameters["model"])
        return json_reply(exchange.answer(self._read(jsonio.loads(exchange.body), exchange, entry)))

    def health(self, exchange: Exchange) -> Reply:
        """Who is here: the model's name and version.

        Raises:
            NotReady: the model is not loaded.
        """
        exchange.entry = entry = self._repository.default
        entry.ready_service()
        return json_reply({"status": "ok", "model": entry.name, "model_version": entry.version})

    def answer_object(self, payload: Json, exchange: Exchange) -> Json:
        """The answer to a parsed request.

        Raises:
            InferenceError: as ``read_object`` and ``InferenceService.infer``.
        """
        return exchange.answer(self.read_object(payload, exchange))

    def read_object(self, payload: Json, exchange: Exchange) -> ModelCall:
        """A parsed request as a call of the default model.

        Raises:
            InferenceError: as ``SimpleForm.decode``, or the pipeline.
        """
        return self._read(payload, exchange, self._repository.default)

    def error_body(self, error: InferenceError, request_id: str) -> Json:
        """``{"error": {"code", "message"}}``, with the request's id when the fault is ours."""
        body: dict[str, Json] = {"code": error.code, "message": str(error)}
        if error.fault == "server":
            body["request_id"] = request_id
        return {"error": body}

    def _read(self, payload: Json, exchange: Exchange, entry: Entry) -> ModelCall:
        exchange.entry = entry
        signature = entry.ready_service().signature
        if self._pipeline is not None:
            from inference_runtime.codecs.pipeline import PipelineForm

            pipeline_form = PipelineForm(self._pipeline, signature, entry.version)
            return ModelCall(entry, pipeline_form.decode(payload), pipeline_form.encode)
        form = SimpleForm(signature, entry.version, self._settings.non_finite)
        call = form.decode(payload)
        return ModelCall(entry, call.inputs, lambda outputs: form.encode(call, outputs))
