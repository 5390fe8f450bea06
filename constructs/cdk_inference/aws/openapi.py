"""The OpenAPI document of an API in front of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdk_inference.aws.api_routes import ApiRoute

BINARY_TYPE: Final = "application/octet-stream"
_BINARY: Final = {BINARY_TYPE: {"schema": {"type": "string", "format": "binary"}}}


def document(
    title: str,
    routes: Iterable[ApiRoute],
    *,
    security: Mapping[str, dict[str, Any]],
    server: str | None,
) -> dict[str, Any]:
    """The document of ``routes``, OpenAPI 3.1.

    Args:
        title: the API's name.
        routes: all of them.
        security: the schemes, by name, all of which every request has to satisfy.
        server: the API's URL, where it is known before the deployment.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        **({"servers": [{"url": server}]} if server else {}),
        "paths": paths,
        "components": {"securitySchemes": dict(security)},
        "security": [{name: [] for name in security}] if security else [],
    }


def _operation(route: ApiRoute) -> dict[str, Any]:
    binary = _BINARY if route.has_binary_form else {}
    answer = {"application/json": {"schema": route.answer or {"type": "object"}}, **binary}
    operation: dict[str, Any] = {
        "operationId": route.id,
        "summary": route.summary,
        "responses": {
            "200": {"description": "Success", "content": answer},
            "default": {
                "description": "An error, told in the member error or message",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
        },
    }
    if route.method == "POST":
        schema = route.schema or {"type": "object"}
        content = {"application/json": {"schema": schema}, **binary}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
