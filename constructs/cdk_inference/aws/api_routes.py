"""The paths of an API in front of functions that serve models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cdk_inference.aws.tokens import are_known
from cdk_inference.contract import HEALTH_PATH, infer_path, metadata_path, ready_path
from cdk_inference.contract import predict_path as path_by_name
from cdk_inference.model import IDENTIFIER
from cdk_inference.request_schema import infer_schema, predict_schema

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_

    from cdk_inference.aws.model_source import AnyModel
    from cdk_inference.request_schema import Schema
    from cdk_inference.validation import Problems

# Letters, digits and what else RFC 3986 allows in a path unescaped, without API Gateway's own {}.
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")

# Of the answers only what all models have in common: outputs may have labels for columns.
_PREDICTION: Final[Schema] = {
    "type": "object",
    "properties": {
        "predictions": {},
        "outputs": {"type": "object"},
        "model_version": {"type": "string"},
    },
    "required": ["model_version"],
}
_TENSOR: Final[Schema] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
    },
    "required": ["name", "datatype", "shape"],
}
_INFERENCE: Final[Schema] = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
    "required": ["model_name", "outputs"],
}


@dataclass(frozen=True)
class ApiRoute:
    """One method on one path, and the function that answers it.

    Attributes:
        id: the construct id of what is made for it.
        method: in capitals.
        path: from the API's root.
        handler: answers.
        summary: what it does, in a few words.
        schema: of the request's JSON; ``None`` without a body, or where anything goes.
        answer: the schema of the answer's JSON; ``None`` for any object.
        has_binary_form: whether requests and answers may be raw bytes instead.
    """

    id: str
    method: str
    path: str
    handler: lambda_.IFunction
    summary: str
    schema: Schema | None = None
    answer: Schema | None = None
    has_binary_form: bool = False


def routes_of_one(
    handler: lambda_.IFunction, path: str, model: AnyModel | None, *, has_pipeline: bool = False
) -> list[ApiRoute]:
    """Those of a function by itself: its predictions, its health and, where its model is known,
    those of the Open Inference Protocol.

    Args:
        handler: the function.
        path: where it answers predictions in the simple form.
        model: what it serves.
        has_pipeline: whether code of the user's reads its requests.
    """
    schema = None if model is None or has_pipeline else predict_schema(model)
    routes = [
        ApiRoute("PredictRoute", "POST", path, handler, "A prediction", schema, _PREDICTION),
        ApiRoute("HealthRoute", "GET", HEALTH_PATH, handler, "Who is here: model and version"),
    ]
    return routes if model is None else [*routes, *_protocol("", handler, model)]


def routes_by_name(
    prefix: str, handler: lambda_.IFunction, model: AnyModel, *, has_pipeline: bool = False
) -> list[ApiRoute]:
    """Those of one function of several, with the model's name in each.

    Args:
        prefix: of the construct ids.
        handler: the function.
        model: what it serves.
        has_pipeline: as above.
    """
    schema = None if has_pipeline else predict_schema(model)
    path = path_by_name(model.name)
    summary = f"A prediction of {model.name}"
    predict = ApiRoute(f"{prefix}PredictRoute", "POST", path, handler, summary, schema, _PREDICTION)
    return [predict, *_protocol(prefix, handler, model)]


def calls_of_one(path: str, model_name: str | None) -> list[tuple[str, str]]:
    """Method and path of each route that :func:`routes_of_one` has."""
    calls = [("POST", path), ("GET", HEALTH_PATH)]
    return calls if model_name is None else [*calls, *_protocol_calls(model_name)]


def calls_by_name(model_name: str) -> list[tuple[str, str]]:
    """Method and path of each route that :func:`routes_by_name` has."""
    return [("POST", path_by_name(model_name)), *_protocol_calls(model_name)]


def check_model_name(name: str, problems: Problems) -> None:
    """Record a problem unless a path can have the model's name in it."""
    if are_known(name) and not IDENTIFIER.fullmatch(name):
        problems.add(
            f"a model is called {name!r}",
            allowed="1 to 64 letters, digits, '.', '_' and '-' are allowed, the first a letter or"
            " digit",
            remedy="give it another name: it is part of its path",
        )


def check_path(path: str, problems: Problems) -> None:
    """Record a problem unless predictions can have ``path`` of an API."""
    if not problems.check_known("path", are_known(path)):
        return
    if not _PATH.fullmatch(path):
        problems.add(
            f"path is {path!r}",
            allowed="allowed are names of letters, digits, '.', '_', '~' and '-', each after a '/'",
            remedy="give one such as '/predict'",
        )
    if path == HEALTH_PATH:
        problems.add(
            f"path is {path!r}",
            allowed="that tells whether the function is up",
            remedy="give another one such as '/predict'",
        )
    if f"{path}/".startswith("/v2/"):
        problems.add(
            f"path is {path!r}",
            allowed="what is below /v2 is the Open Inference Protocol's",
            remedy="give another one such as '/predict'",
        )


def _protocol_calls(name: str) -> list[tuple[str, str]]:
    return [("POST", infer_path(name)), ("GET", metadata_path(name)), ("GET", ready_path(name))]


def _protocol(prefix: str, handler: lambda_.IFunction, model: AnyModel) -> list[ApiRoute]:
    name = model.name
    return [
        ApiRoute(
            f"{prefix}InferRoute",
            "POST",
            infer_path(name),
            handler,
            f"An inference of {name}, Open Inference Protocol",
            infer_schema(),
            _INFERENCE,
            has_binary_form=True,
        ),
        ApiRoute(
            f"{prefix}MetadataRoute",
            "GET",
            metadata_path(name),
            handler,
            f"The signature of {name}",
        ),
        ApiRoute(
            f"{prefix}ReadyRoute", "GET", ready_path(name), handler, f"Whether {name} answers"
        ),
    ]
