"""The paths of Amazon SageMaker and Vertex AI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from inference_runtime.dataplane import DataPlane
from inference_runtime.endpoints.sagemaker import SageMakerEndpoints
from inference_runtime.endpoints.vertex import VertexEndpoints
from inference_runtime.messages import Reply

from tests.runtime import onnx_models
from tests.runtime.planes import answer, send, serving, unloaded

PREDICT, HEALTH = "/v1/endpoints/1/deployedModels/2:predict", "/v1/endpoints/1/deployedModels/2"
AIP = {"AIP_PREDICT_ROUTE": PREDICT, "AIP_HEALTH_ROUTE": HEALTH}


def with_paths(plane: DataPlane) -> DataPlane:
    plane.add_routes(SageMakerEndpoints(plane).routes())
    plane.add_routes(VertexEndpoints(plane).routes())
    return plane


@pytest.fixture(scope="module")
def doubling() -> Iterator[DataPlane]:
    """One input of two numbers a row, times two."""
    with serving(onnx_models.scaled(2.0), **AIP) as plane:
        yield with_paths(plane)


@pytest.fixture(scope="module")
def adding() -> Iterator[DataPlane]:
    """Two inputs and two outputs."""
    with serving(onnx_models.sum_and_product(), **AIP) as plane:
        yield with_paths(plane)


def vertex(plane: DataPlane, *instances: Any) -> Reply:
    return send(plane, "POST", PREDICT, {"instances": instances})


@pytest.mark.parametrize("path", ["/ping", HEALTH])
def test_health_is_200_once_the_model_is_loaded(doubling: DataPlane, path: str) -> None:
    assert send(doubling, "GET", path).status == 200
    assert send(with_paths(unloaded(**AIP)), "GET", path).status == 503


def test_invocations_take_the_simple_form(doubling: DataPlane) -> None:
    reply = send(doubling, "POST", "/invocations", {"features": [[1, 2], [3, 4]]})
    assert answer(reply)["predictions"] == [[2, 4], [6, 8]]
    reply = send(doubling, "POST", "/invocations", {"features": [1]})
    assert answer(reply)["error"]["code"] == "INVALID_INPUT"


def test_invocations_take_the_open_inference_protocol(doubling: DataPlane) -> None:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    reply = send(doubling, "POST", "/invocations", {"id": "7", "inputs": [tensor]})
    assert (answer(reply)["id"], answer(reply)["outputs"][0]["data"]) == ("7", [2, 4])
    reply = send(doubling, "POST", "/invocations", {"inputs": [{**tensor, "shape": [2, 2]}]})
    assert (reply.status, type(answer(reply)["error"])) == (400, str)


def test_vertex_instances_are_rows(doubling: DataPlane) -> None:
    assert answer(vertex(doubling, [1, 2])) == {"predictions": [[2, 4]]}
    assert answer(vertex(doubling, [1, 2], [3, 4])) == {"predictions": [[2, 4], [6, 8]]}


def test_vertex_instances_may_name_the_inputs(doubling: DataPlane, adding: DataPlane) -> None:
    assert answer(vertex(doubling, {"x": [1, 2]})) == {"predictions": [[2, 4]]}
    rows = [{"a": [1, 2], "b": [3, 4]}, {"b": [0, 0], "a": [5, 6]}]
    assert answer(vertex(adding, *rows)) == {
        "predictions": [{"sum": [4, 6], "product": [3, 8]}, {"sum": [5, 6], "product": [0, 0]}]
    }


@pytest.mark.parametrize(
    "payload",
    [[], {}, {"instances": []}, {"instances": {}}, {"features": [1, 2]}, {"instances": [1, 2]},
     {"instances": [[1, 2], [1]]}, {"instances": [{"x": [1, 2]}, [1, 2]]},
     {"instances": [{"x": [1, 2]}, {"y": [1, 2]}]}, {"instances": [{"z": [1, 2]}]},
     {"instances": [[1, 2], {"x": [1, 2]}]}],
)  # fmt: skip
def test_other_vertex_requests_are_refused(doubling: DataPlane, payload: Any) -> None:
    reply = send(doubling, "POST", PREDICT, payload)
    assert reply.status == 400, reply.body
    assert answer(reply)["error"]["message"]


def test_a_model_without_rows_is_refused_on_vertex() -> None:
    with serving(onnx_models.total(), **AIP) as plane:
        assert b"row by row" in vertex(with_paths(plane), [1, 2]).body


def test_vertex_has_its_own_way_with_a_path_that_is_ours_too() -> None:
    with serving(onnx_models.scaled(), AIP_PREDICT_ROUTE="/predict") as plane:
        reply = send(with_paths(plane), "POST", "/predict", {"instances": [[1, 2]]})
    assert answer(reply) == {"predictions": [[10, 20]]}


def test_without_its_variables_there_are_no_vertex_paths() -> None:
    plane = unloaded()
    assert VertexEndpoints(plane).routes() == []
