"""The schema that constructs make of a model takes whatever the runtime takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cdk_inference.model as declarations
import pytest
from cdk_inference.aws.api_routes import routes_by_name
from cdk_inference.request_schema import infer_schema, predict_schema
from cdk_inference.stored_model import StoredModel
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime.codecs.simple import SimpleForm
from inference_runtime.errors import InferenceError
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.tensor import DATATYPES
from jsonschema import Draft4Validator, Draft202012Validator

from tests.contract.corpus import NAMES, Corpus

Shape = tuple[int | None, ...]
VALIDATORS = (Draft4Validator, Draft202012Validator)
# With one of these, a body is not, or not only, JSON.
NO_JSON = {"inference-header-content-length", "content-encoding"}
ELEMENTS = st.one_of(
    st.integers(-2, 300),
    st.floats(-2, 2),
    st.booleans(),
    st.sampled_from(["NaN", "Infinity", "a"]),
    st.none(),
)
SHAPES = st.lists(st.none() | st.integers(0, 3), max_size=3).map(tuple)
INPUTS = st.lists(st.tuples(st.sampled_from(sorted(DATATYPES)), SHAPES), min_size=1, max_size=2)


def declared(inputs: list[tuple[str, Shape]]) -> declarations.InferenceModel:
    specs = [declarations.TensorSpec(f"x{i}", *spec) for i, spec in enumerate(inputs)]
    return declarations.InferenceModel(Path(), "m", "1", tuple(specs), (), {}, {}, 1, "")


def nested(data: st.DataObject, shape: list[int]) -> Any:
    if not shape:
        return data.draw(ELEMENTS)
    return [nested(data, shape[1:]) for _ in range(shape[0])]


def value(data: st.DataObject, shape: Shape) -> Any:
    sizes = [data.draw(st.integers(0, 2)) if size is None else size for size in shape]
    return nested(data, sizes[data.draw(st.integers(0, 1)) :])


@given(inputs=INPUTS, data=st.data())
def test_no_schema_refuses_what_the_runtime_takes(
    inputs: list[tuple[str, Shape]], data: st.DataObject
) -> None:
    model = declared(inputs)
    specs = {s.name: TensorSpec(s.name, DATATYPES[s.datatype], s.shape or ()) for s in model.inputs}
    values = {name: value(data, spec.shape) for name, spec in specs.items()}
    body = data.draw(
        st.sampled_from([{"inputs": values}, {"features": values["x0"], "extra": None}])
    )
    try:
        signature = Signature(specs.values(), [])
        signature.check_inputs(SimpleForm(signature, "1", "string").decode(body).inputs)
    except InferenceError:
        return
    for validator in VALIDATORS:
        validator(predict_schema(model)).validate(body)


@pytest.mark.parametrize("validator", VALIDATORS)
@pytest.mark.parametrize(
    ("inputs", "body", "fits"),
    [
        ([("FP32", (None, 2))], {"features": [1, 2]}, True),
        ([("FP32", (None, 2))], {"features": [[1, "NaN"]]}, True),
        ([("FP32", (None, 2))], {"features": [1, 2, 3]}, False),
        ([("FP32", (None, 2))], {"features": ["1", "2"]}, False),
        ([("FP32", (None, 2))], {"features": [1, None]}, False),
        ([("FP32", (None, 2))], {}, False),
        ([("FP32", (None, 2))], [1, 2], False),
        ([("FP32", (3, 2))], {"features": [1, 2]}, False),
        ([("INT64", (None,))], {"features": [1.5]}, False),
        ([("INT64", (None,))], {"features": 1}, True),
        ([("BOOL", ())], {"features": True}, True),
        ([("BYTES", (None,))], {"features": ["a"]}, True),
        ([("BYTES", (None,))], {"features": [1]}, False),
        ([("FP32", (2,)), ("BOOL", (1,))], {"inputs": {"x0": [1, 2], "x1": [True]}}, True),
        ([("FP32", (2,)), ("BOOL", (1,))], {"inputs": {"x0": [1, 2]}}, False),
        ([("FP32", (2,)), ("BOOL", (1,))], {"features": [1, 2]}, False),
    ],
)
def test_what_does_not_fit_is_refused(
    validator: Any, inputs: list[tuple[str, Shape]], body: Any, fits: bool
) -> None:
    assert validator(predict_schema(declared(inputs))).is_valid(body) is fits


def test_of_a_model_in_a_store_only_the_form_is_known() -> None:
    model = StoredModel("a/1/model.onnx", ("model.onnx",), "a", "1", 1, None)
    validator = Draft4Validator(predict_schema(model))
    for body in ({"features": [[1]]}, {"inputs": {"a": 1}}):
        assert validator.is_valid(body)
    for wrong in ({}, [], {"instances": [1]}):
        assert not validator.is_valid(wrong)


@pytest.mark.parametrize("validator", VALIDATORS)
def test_the_protocols_schema_takes_every_recorded_request_that_succeeds(validator: Any) -> None:
    exchanges = [e for name in NAMES for e in Corpus(name).exchanges]
    bodies = [
        json.loads(e.request.body)
        for e in exchanges
        if e.request.path.endswith("/infer")
        and e.reply.status == 200
        and NO_JSON.isdisjoint(name.lower() for name in e.request.headers)
    ]
    assert bodies
    for body in bodies:
        validator(infer_schema()).validate(body)
    assert not validator(infer_schema()).is_valid({"inputs": [{"name": "a"}]})


def test_recorded_answers_are_as_documented() -> None:
    model = declared([("FP32", (None, 64))])
    function = cast("Any", None)  # none is called
    routes = {
        route.path: route.answer
        for route in routes_by_name("", function, replace(model, name="digits"))
    }
    recorded = [e for e in Corpus("digits").exchanges if e.reply.status == 200]
    answers = [e for e in recorded if e.request.path in routes and isinstance(e.reply.body, dict)]
    assert {e.request.path for e in answers} == routes.keys()
    for exchange in answers:
        schema = routes[exchange.request.path] or {"type": "object"}
        Draft202012Validator(schema).validate(exchange.reply.body)
