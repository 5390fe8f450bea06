from __future__ import annotations

from jsonschema import Draft202012Validator

from tests.runtime import onnx_models
from tests.runtime.planes import answer, send, serving, unloaded


def test_every_route_is_documented() -> None:
    with serving(onnx_models.identity("FP32"), INFERENCE_METRICS="prometheus") as plane:
        document = answer(send(plane, "GET", "/openapi.json"))
    paths = document["paths"]
    assert {"/predict", "/health", "/metrics", "/openapi.json", "/v2/models/{model}/infer"} <= (
        paths.keys()
    )
    for operations in paths.values():
        for operation in operations.values():
            assert operation["summary"]


def test_an_inference_is_documented_in_its_binary_form_too() -> None:
    with serving(onnx_models.identity("FP32")) as plane:
        document = answer(send(plane, "GET", "/openapi.json"))
    infer = document["paths"]["/v2/models/{model}/infer"]["post"]
    forms = {"application/json", "application/octet-stream"}
    assert infer["requestBody"]["content"].keys() == forms
    assert infer["responses"]["200"]["content"].keys() == forms
    assert [p["name"] for p in infer["parameters"]] == ["model", "inference-header-content-length"]
    predict = document["paths"]["/models/{model}/predict"]["post"]
    assert predict["requestBody"]["content"].keys() == {"application/json"}


def test_the_predict_schema_takes_what_the_model_takes() -> None:
    with serving(onnx_models.identity("FP32")) as plane:
        document = answer(send(plane, "GET", "/openapi.json"))
        schema = document["components"]["schemas"]["PredictRequest"]
        validator = Draft202012Validator(schema)
        for body, fits in [
            ({"features": [1, 2, 3]}, True),
            ({"features": [[1, 2, 3], [4, 5, "NaN"]]}, True),
            ({"inputs": {"x": [[1, 2, 3]]}}, True),
            ({"features": [1, 2]}, False),
            ({"features": ["a", "b", "c"]}, False),
            ({"inputs": {}}, False),
        ]:
            assert validator.is_valid(body) is fits, body
            assert (send(plane, "POST", "/predict", body).status == 200) is fits, body


def test_before_the_model_is_loaded_its_schema_is_not_known() -> None:
    assert send(unloaded(), "GET", "/openapi.json").status == 503
