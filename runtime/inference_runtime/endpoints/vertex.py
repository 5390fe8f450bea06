"""Vertex AI's container contract: ``{"instances": […]}`` in, ``{"predictions": […]}`` out.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements

Vertex AI says by ``AIP_PREDICT_ROUTE`` and ``AIP_HEALTH_ROUTE`` where it will ask; without them
there are no such paths. An instance is a row of the model's one input, or an object of rows by the
names of its inputs.
"""

from __future__ import annotations

from inference_runtime import jsonio
from inference_runtime.codecs.simple import SimpleForm
from inference_runtime.errors import InvalidInput, MalformedBody
from inference_runtime.exchange import json_reply
from inference_runtime.routing import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.dataplane import DataPlane
    from inference_runtime.exchange import Exchange
    from inference_runtime.jsonio import Json
    from inference_runtime.messages import Reply


class VertexEndpoints:
    """Vertex AI's paths, for the default model.

    Args:
        plane: whose models answer.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def routes(self) -> list[Route]:
        """The paths that Vertex AI named."""
        settings = self._plane.settings
        asked = [
            Route("POST", settings.vertex_predict_path, self.predict),
            Route("GET", settings.vertex_health_path, self._plane.simple.health),
        ]
        return [route for route in asked if route.pattern]

    def predict(self, exchange: Exchange) -> Reply:
        """A prediction for each instance."""
        instances = _instances(jsonio.loads(exchange.body))
        exchange.entry = entry = self._plane.repository.default
        settings = self._plane.settings
        signature = entry.ready_service().signature
        if not signature.has_rows:
            raise InvalidInput("this model does not answer row by row; use another protocol")
        form = SimpleForm(signature, entry.version, settings.non_finite)
        call = form.decode(_request(instances))
        if call.is_row or call.batch_size != len(instances):
            raise InvalidInput("each instance must be one row of the model's input")
        predictions = form.predictions(call, exchange.run(entry, call.inputs))
        return json_reply({"predictions": predictions})


def _instances(payload: Json) -> list[Json]:
    match payload:
        case {"instances": [_, *_] as instances}:
            return instances
        case _:
            raise MalformedBody('send {"instances": […]} with at least one instance')


def _request(instances: list[Json]) -> Json:
    """The same request in the simple form."""
    if not isinstance(instances[0], dict):
        return {"features": instances}
    names = instances[0].keys()
    rows: list[dict[str, Json]] = []
    for instance in instances:
        if not isinstance(instance, dict) or instance.keys() != names:
            raise InvalidInput("all instances must be objects with the same names")
        rows.append(instance)
    return {"inputs": {name: [row[name] for row in rows] for name in names}}
