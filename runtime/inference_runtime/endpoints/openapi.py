"""The OpenAPI document of this process's own API, with the model's signature in its schemas."""

from __future__ import annotations

from inference_runtime import __version__
from inference_runtime.codecs.open_inference import HEADER_LENGTH
from inference_runtime.endpoints.open_inference import BINARY_TYPE
from inference_runtime.tensor import DATATYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference_runtime.jsonio import Json
    from inference_runtime.repository import Entry
    from inference_runtime.routing import Route
    from inference_runtime.signature import Dimension, Signature, TensorSpec

    Schema = dict[str, Json]

_HEADER_LENGTH: Schema = {
    "name": HEADER_LENGTH,
    "in": "header",
    "description": "Bytes of JSON before the tensors' own; 0 where the body is one tensor's alone",
    "schema": {"type": "integer", "minimum": 0},
}
_NON_FINITE: Schema = {"enum": ["NaN", "Infinity", "-Infinity"]}
_ELEMENTS: dict[str, Schema] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"anyOf": [{"type": "number"}, _NON_FINITE]},
    "bytes": {"type": "string"},
}


def document(entry: Entry, routes: Iterable[Route]) -> Json:
    """The document of ``routes``.

    Args:
        entry: the default model, whose signature is in the schemas.
        routes: all of them.

    Raises:
        NotReady: the model is not loaded, so its signature is not known.
    """
    schemas = _schemas(entry.ready_service().signature)
    paths: dict[str, Schema] = {}
    for route in routes:
        operation = {route.method.lower(): _operation(route, entry)}
        paths[route.pattern] = {**paths.get(route.pattern, {}), **operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": entry.name, "version": entry.version, "x-runtime": __version__},
        "paths": {**paths},
        "components": {"schemas": schemas},
    }


def _operation(route: Route, entry: Entry) -> Json:
    responses: Schema = {
        "200": _success(route),
        "default": _response("An error", {"$ref": "#/components/schemas/Error"}),
    }
    if route.pattern.endswith("/ready"):
        responses["503"] = _response("Not ready", {"type": "object"})
    operation: Schema = {
        "summary": (route.answer.__doc__ or "").strip().splitlines()[0],
        "responses": responses,
    }
    examples: Schema = {"model": entry.name, "version": entry.version}
    names = [segment[1:-1] for segment in route.segments if segment.startswith("{")]
    parameters: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "examples": [examples[name]]},
        }
        for name in names
    ]
    if _is_infer(route):
        parameters.append(_HEADER_LENGTH)
    if parameters:
        operation["parameters"] = parameters
    request = _request_schema(route)
    if request is not None:
        operation["requestBody"] = {"required": True, "content": _content(route, request)}
    return operation


def _is_infer(route: Route) -> bool:
    return route.pattern.endswith("/infer")


def _content(route: Route, schema: Schema) -> Schema:
    """JSON, and for an inference also JSON with tensors behind it."""
    content: Schema = {"application/json": {"schema": schema}}
    return {**content, BINARY_TYPE: {}} if _is_infer(route) else content


def _request_schema(route: Route) -> Schema | None:
    if route.method != "POST":
        return None
    if _is_infer(route):
        return {"$ref": "#/components/schemas/InferRequest"}
    if route.pattern.endswith("/predict"):
        return {"$ref": "#/components/schemas/PredictRequest"}
    return {"type": "object"}


def _success_schema(route: Route) -> Schema:
    if _is_infer(route):
        return {"$ref": "#/components/schemas/InferResponse"}
    if route.pattern.endswith("/index"):
        return {"type": "array", "items": {"type": "object"}}
    return {"type": "object"}


def _success(route: Route) -> Schema:
    if route.pattern == "/metrics":
        return {"description": "Success", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"description": "Success", "content": _content(route, _success_schema(route))}


def _response(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _schemas(signature: Signature) -> Schema:
    return {
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "oneOf": [
                        {"type": "string"},
                        {"type": "object", "required": ["code", "message"]},
                    ]
                }
            },
        },
        "PredictRequest": _predict_request(signature),
        "InferRequest": _infer_request(signature),
        "InferResponse": {
            "type": "object",
            "required": ["model_name", "outputs"],
            "properties": {"outputs": {"type": "array", "items": {"type": "object"}}},
        },
    }


def _predict_request(signature: Signature) -> Schema:
    required = [spec for spec in signature.inputs.values() if not spec.optional]
    named: Schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": {
                "type": "object",
                "required": [spec.name for spec in required],
                "properties": {
                    spec.name: _nested(spec, spec.shape) for spec in signature.inputs.values()
                },
            }
        },
    }
    if len(required) != 1:
        return named
    (spec,) = required
    shapes = [spec.shape, spec.shape[1:]] if spec.shape else [spec.shape]
    features: Json = {"anyOf": [_nested(spec, shape) for shape in shapes]}
    one_input: Schema = {
        "type": "object",
        "required": ["features"],
        "properties": {"features": features},
    }
    return {"oneOf": [one_input, named]}


def _infer_request(signature: Signature) -> Schema:
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "shape", "datatype", "data"],
                    "properties": {
                        "name": {"enum": list(signature.inputs)},
                        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                        "datatype": {"enum": list(DATATYPES)},
                        "data": {"type": "array"},
                        "parameters": {"type": "object"},
                    },
                },
            },
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"enum": list(signature.outputs)},
                        "parameters": {"type": "object"},
                    },
                },
            },
            "parameters": {"type": "object"},
        },
    }


def _nested(spec: TensorSpec, shape: tuple[Dimension, ...]) -> Schema:
    if not shape:
        return _ELEMENTS[spec.datatype.kind]
    schema: Schema = {"type": "array", "items": _nested(spec, shape[1:])}
    if isinstance(shape[0], int):
        schema |= {"minItems": shape[0], "maxItems": shape[0]}
    return schema
