"""The Open Inference Protocol through the data plane: what its clients send, and what they get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_runtime.dataplane import DataPlane
from inference_runtime.tensor import pack_elements, unpack_elements

from tests.runtime import onnx_models
from tests.runtime.planes import answer, error, infer, send, serving, unloaded

NUMPY_TYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
}
HEADER_LENGTH = "inference-header-content-length"
ROW = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}


@pytest.fixture(scope="module")
def planes() -> Iterator[dict[str, DataPlane]]:
    """An identity model of each datatype, of any number of rows of three."""
    made = {}
    managers = {t: serving(onnx_models.identity(t)) for t in (*NUMPY_TYPES, "BYTES")}
    for datatype, manager in managers.items():
        made[datatype] = manager.__enter__()
    yield made
    for manager in managers.values():
        manager.__exit__(None, None, None)


def tensor(name: str, array: Any, datatype: str) -> tuple[dict[str, Any], bytes]:
    """An input with its data behind the header, and those data."""
    raw = array.tobytes()
    described = {"name": name, "shape": list(array.shape), "datatype": datatype}
    return described | {"parameters": {"binary_data_size": len(raw)}}, raw


def send_binary(plane: DataPlane, header: dict[str, Any], raw: bytes) -> Any:
    text = json.dumps(header).encode()
    return send(plane, "POST", "/v2/models/m/infer", text + raw, {HEADER_LENGTH: str(len(text))})


def split(reply: Any) -> tuple[dict[str, Any], bytes]:
    """The JSON header and the raw tensors of a binary answer."""
    assert reply.status == 200, reply.body
    assert reply.is_binary
    length = int(reply.headers[HEADER_LENGTH])
    return json.loads(reply.body[:length]), reply.body[length:]


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Any]:
    """Any datatype, 0 to 4 rows of three, any bits that are a value of it."""
    datatype = draw(st.sampled_from(list(NUMPY_TYPES)))
    shape = (draw(st.integers(0, 4)), 3)
    size = prod(shape) * np.dtype(NUMPY_TYPES[datatype]).itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if datatype == "BOOL":
        data = bytes(byte & 1 for byte in data)
    return datatype, np.frombuffer(data, NUMPY_TYPES[datatype]).reshape(shape)


@given(arrays())
@settings(max_examples=200)
def test_every_bit_comes_back_in_binary(
    planes: dict[str, DataPlane], case: tuple[str, Any]
) -> None:
    datatype, array = case
    described, raw = tensor("x", array, datatype)
    header = {"inputs": [described], "parameters": {"binary_data_output": True}}
    answered, data = split(send_binary(planes[datatype], header, raw))
    (output,) = answered["outputs"]
    assert (output["datatype"], output["shape"]) == (datatype, list(array.shape))
    assert output["parameters"] == {"binary_data_size": len(raw)}
    assert data == raw


def spelt(element: Any) -> Any:
    """An element as the runtime reads and writes it in JSON."""
    if isinstance(element, float) and not np.isfinite(element):
        return "NaN" if np.isnan(element) else ("Infinity" if element > 0 else "-Infinity")
    return element


@given(arrays(), st.booleans())
@settings(max_examples=200)
def test_every_value_comes_back_in_json(
    planes: dict[str, DataPlane], case: tuple[str, Any], flat: bool
) -> None:
    datatype, array = case
    exact = array.astype(np.float64) if datatype in ("FP16", "BF16", "FP32") else array
    rows = [[spelt(element) for element in row] for row in exact.tolist()]
    elements = [element for row in rows for element in row]
    item = {"name": "x", "shape": list(array.shape), "datatype": datatype}
    reply = infer(planes[datatype], item | {"data": elements if flat else rows})
    (output,) = answer(reply)["outputs"]
    assert output["shape"] == list(array.shape)
    assert output["data"] == elements


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_non_finite_values_come_back_in_json(planes: dict[str, DataPlane], datatype: str) -> None:
    data = ["NaN", "Infinity", "-Infinity"]
    item = {"name": "x", "shape": [1, 3], "datatype": datatype, "data": data}
    assert answer(infer(planes[datatype], item))["outputs"][0]["data"] == data


@given(st.lists(st.text(), min_size=3, max_size=3))
def test_strings_come_back_in_json(planes: dict[str, DataPlane], texts: list[str]) -> None:
    item = {"name": "x", "shape": [1, 3], "datatype": "BYTES", "data": texts}
    (output,) = answer(infer(planes["BYTES"], item))["outputs"]
    assert output["data"] == texts


@given(st.lists(st.text(), min_size=3, max_size=3))
def test_strings_come_back_in_binary(planes: dict[str, DataPlane], texts: list[str]) -> None:
    raw = pack_elements([text.encode() for text in texts])
    item = {"name": "x", "shape": [1, 3], "datatype": "BYTES"}
    item["parameters"] = {"binary_data_size": len(raw)}
    header = {"inputs": [item], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
    _, data = split(send_binary(planes["BYTES"], header, raw))
    assert [element.decode() for element in unpack_elements(data)] == texts


def test_strings_travel_as_base64_where_asked(planes: dict[str, DataPlane]) -> None:
    encoded = ["AGE=", "Yg==", ""]
    item = {"name": "x", "shape": [1, 3], "datatype": "BYTES", "data": encoded}
    item["parameters"] = {"content_type": "base64"}
    wanted = {"name": "y", "parameters": {"content_type": "base64"}}
    (output,) = answer(infer(planes["BYTES"], item, outputs=[wanted]))["outputs"]
    assert output["data"] == encoded
    assert output["parameters"] == {"content_type": "base64"}


def test_strings_that_are_not_utf_8_come_back_as_base64(planes: dict[str, DataPlane]) -> None:
    encoded = ["//4=", "YQBi", ""]
    item = {"name": "x", "shape": [1, 3], "datatype": "BYTES", "data": encoded}
    item["parameters"] = {"content_type": "base64"}
    (output,) = answer(infer(planes["BYTES"], item))["outputs"]
    assert output["data"] == encoded
    assert output["parameters"] == {"content_type": "base64"}


@given(st.lists(st.binary(), min_size=3, max_size=3))
def test_any_bytes_come_back_in_binary(planes: dict[str, DataPlane], elements: list[bytes]) -> None:
    raw = pack_elements(elements)
    item = {"name": "x", "shape": [1, 3], "datatype": "BYTES"}
    item["parameters"] = {"binary_data_size": len(raw)}
    header = {"inputs": [item], "parameters": {"binary_data_output": True}}
    _, data = split(send_binary(planes["BYTES"], header, raw))
    assert data == raw


def test_what_is_not_base64_is_refused(planes: dict[str, DataPlane]) -> None:
    item = {"name": "x", "shape": [1, 3], "datatype": "BYTES", "data": ["a", "b", "?"]}
    item["parameters"] = {"content_type": "base64"}
    assert "not base64" in error(infer(planes["BYTES"], item))


def test_a_raw_request_takes_its_shape_from_its_length(planes: dict[str, DataPlane]) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = "/v2/models/m/infer"
    reply = send(planes["FP32"], "POST", path, array.tobytes(), {HEADER_LENGTH: "0"})
    header, data = split(reply)
    assert header["outputs"][0]["shape"] == [2, 3]
    assert data == array.tobytes()


@pytest.mark.parametrize("size", [1, 13])
def test_a_raw_request_of_an_odd_length_is_refused(planes: dict[str, DataPlane], size: int) -> None:
    reply = send(planes["FP32"], "POST", "/v2/models/m/infer", b"x" * size, {HEADER_LENGTH: "0"})
    assert "bytes" in error(reply)


def test_id_and_requested_outputs_are_echoed() -> None:
    with serving(onnx_models.sum_and_product()) as plane:
        pair = [
            {"name": name, "shape": [1, 2], "datatype": "FP32", "data": [2, 3]}
            for name in ("a", "b")
        ]
        reply = infer(plane, *pair, id="7", outputs=[{"name": "product"}])
        assert answer(reply) == {
            "model_name": "m",
            "model_version": "1",
            "id": "7",
            "outputs": [
                {"name": "product", "datatype": "FP32", "shape": [1, 2], "data": [4.0, 9.0]}
            ],
        }


def test_one_output_in_binary_and_one_in_json() -> None:
    with serving(onnx_models.sum_and_product()) as plane:
        pair = [
            {"name": name, "shape": [1, 2], "datatype": "FP32", "data": [2, 3]}
            for name in ("a", "b")
        ]
        wanted = [{"name": "sum", "parameters": {"binary_data": True}}, {"name": "product"}]
        header, data = split(infer(plane, *pair, outputs=wanted))
        assert np.frombuffer(data, np.float32).tolist() == [4, 6]
        assert header["outputs"][1]["data"] == [4.0, 9.0]


def test_scalars_travel_as_a_list_of_one() -> None:
    with serving(onnx_models.identity("FP32", [])) as plane:
        item = {"name": "x", "shape": [], "datatype": "FP32", "data": [1.5]}
        (output,) = answer(infer(plane, item))["outputs"]
        assert output == {"name": "y", "datatype": "FP32", "shape": [], "data": [1.5]}


def test_an_input_with_a_default_may_be_left_out() -> None:
    with serving(onnx_models.scaled()) as plane:
        item = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
        assert answer(infer(plane, item))["outputs"][0]["data"] == [10, 20]
        factor = {"name": "factor", "shape": [1], "datatype": "FP32", "data": [3]}
        assert answer(infer(plane, item, factor))["outputs"][0]["data"] == [3, 6]


def test_a_zipmap_comes_as_a_tensor() -> None:
    with serving(onnx_models.zipmap_classifier()) as plane:
        item = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [5, 0]}
        label, probabilities = answer(infer(plane, item))["outputs"]
        assert label["data"] == ["yes"]
        assert (probabilities["datatype"], probabilities["shape"]) == ("FP32", [1, 2])
        assert sum(probabilities["data"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("string", ["NaN", "-Infinity"]), ("null", [None, None])],
)
def test_non_finite_values_follow_the_policy(policy: str, expected: list[Any]) -> None:
    with serving(onnx_models.logarithm(), INFERENCE_NON_FINITE=policy) as plane:
        item = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [-1, 0]}
        assert answer(infer(plane, item))["outputs"][0]["data"] == expected
        _, data = split(infer(plane, item, parameters={"binary_data_output": True}))
        nan, infinity = np.frombuffer(data, np.float32)
        assert np.isnan(nan)
        assert np.isneginf(infinity)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "z"}, "unknown input 'z'"),
        ({"datatype": "FP64"}, "takes FP32[N, 3], got datatype FP64"),
        ({"datatype": "FP31"}, "there is BOOL"),
        ({"shape": [1, 4]}, "has shape [1, 4], but its data has shape [3]"),
        ({"shape": [3, 1]}, "takes FP32[N, 3], got shape [3, 1]"),
        ({"shape": [-1, 3]}, "sizes are whole numbers"),
        ({"shape": [1.0, 3]}, "sizes are whole numbers"),
        ({"shape": [True, 3]}, "sizes are whole numbers"),
        ({"shape": [2**62, 2**62, 0]}, "sizes are whole numbers"),
        ({"shape": "1,3"}, "'shape' of input 'x' must be a list"),
        ({"data": [[1, 2], [3]]}, "ragged"),
        ({"data": [1, [2], 3]}, "ragged"),
        ({"data": [1, 2, "a"]}, "takes numbers"),
        ({"data": [1, 2, None]}, "takes numbers"),
        ({"data": [1, 2, 1e39]}, "beyond"),
        ({"data": 5}, "must be a list"),
        ({"data": {"0": 1}}, "must be a list"),
        ({"parameters": {"binary_data_size": 12}}, "one of 'data' and 'binary_data_size'"),
        ({"parameters": []}, "must be an object"),
        ({"parameters": 5}, "of input 'x' must be an object"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(
    planes: dict[str, DataPlane], change: dict[str, Any], message: str
) -> None:
    assert message in error(infer(planes["FP32"], ROW | change))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"{", "not JSON"),
        (b"[]", "must be an object"),
        (b"{}", "has no 'inputs'"),
        (b'{"inputs": {}}', "must be a list"),
        (b'{"inputs": [1]}', "an input must be an object"),
        (b'{"inputs": []}', "missing input 'x'"),
        (b'{"inputs": [], "id": 5}', "'id' of the request must be a string"),
        (b"[" * 100_000, "not JSON"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": NaN}]}', "not JSON"),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    planes: dict[str, DataPlane], body: bytes, message: str
) -> None:
    assert message in error(send(planes["FP32"], "POST", "/v2/models/m/infer", body))


def test_an_input_or_output_given_twice_is_refused(planes: dict[str, DataPlane]) -> None:
    assert "twice" in error(infer(planes["FP32"], ROW, ROW))
    assert "twice" in error(infer(planes["FP32"], ROW, outputs=[{"name": "y"}, {"name": "y"}]))


def test_an_unknown_output_is_refused(planes: dict[str, DataPlane]) -> None:
    assert "the outputs are 'y'" in error(infer(planes["FP32"], ROW, outputs=[{"name": "q"}]))


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999", "²"])
def test_a_header_length_that_is_none_is_refused(planes: dict[str, DataPlane], length: str) -> None:
    reply = send(planes["FP32"], "POST", "/v2/models/m/infer", b"{}", {HEADER_LENGTH: length})
    assert "Inference-Header-Content-Length" in error(reply)


@pytest.mark.parametrize(
    ("size", "raw", "message"),
    [
        (12, b"\0" * 11, "11 bytes are left"),
        (-1, b"\0" * 12, "12 bytes are left"),
        (12, b"\0" * 13, "1 bytes of binary data belong to no input"),
        (8, b"\0" * 8, "takes 12 bytes"),
    ],
)
def test_binary_data_of_another_length_are_refused(
    planes: dict[str, DataPlane], size: int, raw: bytes, message: str
) -> None:
    item = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
    item["parameters"] = {"binary_data_size": size}
    assert message in error(send_binary(planes["FP32"], {"inputs": [item]}, raw))


@given(st.binary(max_size=64))
def test_binary_strings_that_end_early_are_refused(
    planes: dict[str, DataPlane], raw: bytes
) -> None:
    item = {"name": "x", "shape": [1, 3], "datatype": "BYTES"}
    item["parameters"] = {"binary_data_size": len(raw)}
    reply = send_binary(planes["BYTES"], {"inputs": [item]}, raw)
    assert reply.status in (200, 400)


MEMBERS = st.sampled_from(
    ("inputs", "outputs", "name", "shape", "datatype", "data", "id", "parameters")
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(MEMBERS, inner))


@given(ANYTHING)
def test_whatever_comes_is_answered_without_a_server_error(
    planes: dict[str, DataPlane], body: Any
) -> None:
    assert send(planes["FP32"], "POST", "/v2/models/m/infer", body).status < 500
    assert send(planes["FP32"], "POST", "/predict", body).status < 500


# Around inference


def test_server_and_model_say_what_they_are(planes: dict[str, DataPlane]) -> None:
    plane = planes["FP32"]
    server = answer(send(plane, "GET", "/v2"))
    assert server["name"] == "inference-runtime"
    assert "binary_tensor_data" in server["extensions"]
    model = answer(send(plane, "GET", "/v2/models/m"))
    assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert model["versions"] == ["1"]
    assert answer(send(plane, "GET", "/v2/models/m/versions/1")) == model
    config = answer(send(plane, "GET", "/v2/models/m/config"))
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 3]}]


@pytest.mark.parametrize("path", ["/v2/models/other", "/v2/models/m/versions/2", "/v2/nowhere"])
def test_what_does_not_exist_is_not_found(planes: dict[str, DataPlane], path: str) -> None:
    error(send(planes["FP32"], "GET", path), status=404)


def test_a_wrong_method_is_told_the_right_one(planes: dict[str, DataPlane]) -> None:
    assert "use POST" in error(send(planes["FP32"], "GET", "/v2/models/m/infer"), status=405)


def test_statistics_count_successes_and_failures() -> None:
    with serving(onnx_models.lookup()) as plane:
        for index in (0, 1, 99):
            item = {"name": "index", "shape": [1], "datatype": "INT64", "data": [index]}
            infer(plane, item)
        (model,) = answer(send(plane, "GET", "/v2/models/m/stats"))["model_stats"]
        assert model["inference_count"] == 2
        assert model["inference_stats"]["success"]["count"] == 2
        assert model["inference_stats"]["fail"]["count"] == 1
        assert model["inference_stats"]["compute_infer"]["ns"] > 0
        assert answer(send(plane, "GET", "/v2/models/stats")) == {"model_stats": [model]}


def test_a_model_that_is_not_loaded_is_not_ready() -> None:
    plane = unloaded()
    assert send(plane, "GET", "/v2/health/live").status == 200
    assert send(plane, "GET", "/v2/health/ready").status == 503
    assert send(plane, "GET", "/v2/models/m/ready").status == 503
    assert send(plane, "GET", "/health").status == 503
    reply = infer(plane, ROW)
    assert "not ready" in error(reply, status=503)
    assert reply.headers["retry-after"] == "1"
    plane.repository.load_all()
    assert send(plane, "GET", "/v2/health/ready").status == 200
    assert answer(send(plane, "GET", "/v2/models/m/ready")) == {"name": "m", "ready": True}


def test_models_load_and_unload_where_that_is_allowed() -> None:
    plane = unloaded(INFERENCE_MODEL_CONTROL="explicit")
    index = "/v2/repository/index"
    assert answer(send(plane, "POST", index))[0]["state"] == "UNAVAILABLE"
    assert answer(send(plane, "POST", index, {"ready": True})) == []
    assert send(plane, "POST", "/v2/repository/models/m/load").status == 200
    assert answer(send(plane, "POST", index)) == [
        {"name": "m", "version": "1", "state": "READY", "reason": ""}
    ]
    assert send(plane, "POST", "/v2/repository/models/m/unload").status == 200
    assert "unloaded" in error(infer(plane, ROW), status=503)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "must be an object, or empty"),
        ({"parameters": []}, "must be an object"),
        ({"parameters": {"config": "{}"}}, "'config' is not known"),
        ({"parameters": {"file:1/model.onnx": "AA=="}}, "'file:1/model.onnx' is not known"),
    ],
)
def test_a_load_that_asks_for_more_is_refused(body: Any, message: str) -> None:
    """Another configuration or other files, as Triton takes them, would be left out in silence."""
    plane = unloaded(INFERENCE_MODEL_CONTROL="explicit")
    for action in ("load", "unload"):
        reply = send(plane, "POST", f"/v2/repository/models/m/{action}", body)
        assert message in error(reply)
    assert send(plane, "GET", "/v2/models/m/ready").status == 503


def test_models_do_not_load_and_unload_by_default(planes: dict[str, DataPlane]) -> None:
    path = "/v2/repository/models/m/unload"
    assert "INFERENCE_MODEL_CONTROL" in error(send(planes["FP32"], "POST", path), status=403)


def test_a_direct_invocation_speaks_the_protocol_too(planes: dict[str, DataPlane]) -> None:
    wanted = [{"name": "y", "parameters": {"binary_data": True}}]
    reply = planes["FP32"].invoke({"inputs": [ROW], "outputs": wanted}, "request-1")
    assert isinstance(reply, dict)
    assert reply["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]}
    ]
    assert planes["FP32"].invoke({"inputs": [{}]}, "r") == {"error": "an input has no 'name'"}
