"""Triton's own HTTP client, blocking and asynchronous, against the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.runtime import onnx_models
from tests.runtime.http_server import HOST, Server, serving

A = np.array([[1, 2], [3, 4]], np.float32)
B = np.array([[5, 6], [7, 8]], np.float32)
ANSWERS = {"sum": A + B, "product": A * B}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("triton")
    model = onnx_models.save(onnx_models.sum_and_product(), folder / "model.onnx")
    with serving(folder, model, INFERENCE_MODEL_CONTROL="explicit") as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"{HOST}:{server.port}", concurrency=4) as made:
        yield made


def inputs(module: Any, *, binary: bool) -> list[Any]:
    made = []
    for name, value in (("a", A), ("b", B)):
        tensor = module.InferInput(name, list(value.shape), "FP32")
        tensor.set_data_from_numpy(value, binary_data=binary)
        made.append(tensor)
    return made


def outputs(module: Any, *names: str, binary: bool) -> list[Any]:
    return [module.InferRequestedOutput(name, binary_data=binary) for name in names]


def check(result: Any, *names: str) -> None:
    for name in names:
        np.testing.assert_array_equal(result.as_numpy(name), ANSWERS[name])


def test_health(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")


def test_metadata_and_configuration(client: triton.InferenceServerClient) -> None:
    assert client.get_server_metadata()["name"] == "inference-runtime"
    metadata = client.get_model_metadata("m")
    assert metadata["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": [-1, 2]}
    assert client.get_model_config("m")["output"][0]["data_type"] == "TYPE_FP32"


@pytest.mark.parametrize("sent_binary", [True, False])
@pytest.mark.parametrize("wanted_binary", [True, False])
def test_infer(
    client: triton.InferenceServerClient, sent_binary: bool, wanted_binary: bool
) -> None:
    result = client.infer(
        "m",
        inputs(triton, binary=sent_binary),
        outputs=outputs(triton, "product", "sum", binary=wanted_binary),
        request_id="7",
    )
    check(result, "sum", "product")
    response = result.get_response()
    assert (response["id"], response["model_version"]) == ("7", "1")
    assert [output["name"] for output in response["outputs"]] == ["product", "sum"]


def test_infer_without_naming_outputs(client: triton.InferenceServerClient) -> None:
    check(client.infer("m", inputs(triton, binary=True), model_version="1"), "sum", "product")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests(client: triton.InferenceServerClient, algorithm: str) -> None:
    result = client.infer("m", inputs(triton, binary=True), request_compression_algorithm=algorithm)
    check(result, "sum")


def test_several_requests_at_once(client: triton.InferenceServerClient) -> None:
    pending = [client.async_infer("m", inputs(triton, binary=True)) for _ in range(8)]
    for request in pending:
        check(request.get_result(), "sum", "product")


def test_the_answer_says_what_was_wrong(client: triton.InferenceServerClient) -> None:
    wrong = triton.InferInput("a", [1, 3], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 3), np.float32))
    with pytest.raises(InferenceServerException, match="missing input 'b'"):
        client.infer("m", [wrong])
    with pytest.raises(InferenceServerException, match="unknown model 'other'"):
        client.get_model_metadata("other")


def test_statistics_count(client: triton.InferenceServerClient) -> None:
    def count() -> int:
        (model,) = client.get_inference_statistics("m")["model_stats"]
        return int(model["inference_count"])

    before = count()
    client.infer("m", inputs(triton, binary=True))
    assert count() == before + len(A)


def test_the_repository_loads_and_unloads(client: triton.InferenceServerClient) -> None:
    client.unload_model("m")
    assert not client.is_model_ready("m")
    (entry,) = client.get_model_repository_index()
    assert (entry["name"], entry["state"]) == ("m", "UNAVAILABLE")
    with pytest.raises(InferenceServerException, match="'config' is not known"):
        client.load_model("m", config="{}")
    client.load_model("m")
    assert client.is_model_ready("m")
    client.unload_model("m", unload_dependents=True)
    client.load_model("m")


def test_the_asynchronous_client(server: Server) -> None:
    async def ask() -> None:
        async with triton_aio.InferenceServerClient(f"{HOST}:{server.port}") as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("m"))["name"] == "m"
            for binary in (True, False):
                results = await asyncio.gather(
                    *(
                        client.infer(
                            "m",
                            inputs(triton_aio, binary=binary),
                            outputs=outputs(triton_aio, "sum", binary=binary),
                        )
                        for _ in range(8)
                    )
                )
                for result in results:
                    check(result, "sum")
            with pytest.raises(InferenceServerException, match="unknown model"):
                await client.infer("other", inputs(triton_aio, binary=True))

    asyncio.run(ask())
