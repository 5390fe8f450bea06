"""Requests at the edge of what JSON, the protocol and the datatypes can say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from inference_runtime.dataplane import DataPlane

from tests.runtime import onnx_models
from tests.runtime.planes import answer, error, infer, send, serving

HEADER_LENGTH = "inference-header-content-length"
ROW = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
LARGEST_SIZE = 2**63 - 1


@pytest.fixture
def plane() -> Iterator[DataPlane]:
    """An identity model of any number of rows of three."""
    with serving(onnx_models.identity("FP32")) as made:
        yield made


# Beyond half of the last step above the largest value, the nearest value would be an infinity.
@pytest.mark.parametrize(
    ("datatype", "number", "expected"),
    [
        ("FP32", 3.4028235e38, float(np.finfo(np.float32).max)),  # as float32 itself is printed
        ("FP32", -3.4028235677973362e38, float(np.finfo(np.float32).min)),
        ("FP16", 65519.99, 65504.0),
        ("BF16", 3.395e38, 3.3895313892515355e38),
    ],
)
def test_a_number_that_rounds_to_the_largest_value_is_that_value(
    datatype: str, number: float, expected: float
) -> None:
    item = {"name": "x", "shape": [1], "datatype": datatype, "data": [number]}
    with serving(onnx_models.identity(datatype, ["N"])) as made:
        assert answer(infer(made, item))["outputs"][0]["data"] == [expected]


@pytest.mark.parametrize(
    ("datatype", "number"),
    [("FP32", 3.4028235677973366e38), ("FP16", -65520), ("BF16", 3.3961775292304601e38)],
)
def test_a_number_that_rounds_to_an_infinity_is_refused(datatype: str, number: float) -> None:
    item = {"name": "x", "shape": [1], "datatype": datatype, "data": [number]}
    with serving(onnx_models.identity(datatype, ["N"])) as made:
        assert "beyond" in error(infer(made, item))


@pytest.mark.parametrize("size", [2, LARGEST_SIZE])
def test_a_shape_without_end_is_refused_at_once(plane: DataPlane, size: int) -> None:
    """The product of so many sizes would take minutes, in which nothing else runs."""
    start = time.process_time()
    error(infer(plane, ROW | {"shape": [size] * 100_000}))
    assert time.process_time() - start < 1


@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
@pytest.mark.parametrize("engine", ["auto", "stock"])
def test_sizes_that_no_tensor_has_are_refused_though_one_is_zero(
    datatype: str, engine: str
) -> None:
    """Rows are counted: such a number of them would be in the statistics for good."""
    item = {"name": "x", "shape": [LARGEST_SIZE, 0], "datatype": datatype, "data": []}
    model = onnx_models.identity(datatype, [None, None])
    with serving(model, INFERENCE_ENGINE=engine) as made:
        for _ in range(3):
            error(infer(made, item))
        assert send(made, "GET", "/v2/models/m/stats").status == 200


def test_a_header_length_of_many_digits_is_refused(plane: DataPlane) -> None:
    reply = send(plane, "POST", "/v2/models/m/infer", b"{}", {HEADER_LENGTH: "9" * 5_000})
    assert "Inference-Header-Content-Length" in error(reply)


def test_an_id_that_is_no_unicode_is_the_callers_mistake(plane: DataPlane) -> None:
    """Other JSON parsers than ours pass halves of surrogate pairs on: AWS Lambda's, for one."""
    refused: Any = plane.invoke({"id": "\ud800", "inputs": [ROW]}, "request-1")
    assert "id" in refused["error"]


@pytest.mark.parametrize("parameter", ["classification", "shared_memory_region"])
def test_an_output_in_a_form_that_is_not_here_is_refused(plane: DataPlane, parameter: str) -> None:
    """Triton's extensions that are not among ours: another form than was asked for is no answer."""
    wanted = {"name": "y", "parameters": {parameter: 2}}
    assert parameter in error(infer(plane, ROW, outputs=[wanted]))
