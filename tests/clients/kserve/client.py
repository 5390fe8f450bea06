"""Asks a server through KServe's own client; run with this folder's environment.

Arguments: the server's address. It prints what it got as JSON.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

A = np.array([[1, 2], [3, 4]], np.float32)
B = np.array([[5, 6], [7, 8]], np.float32)


def request(*, binary: bool) -> InferRequest:
    inputs = [InferInput(name, list(A.shape), "FP32") for name in ("a", "b")]
    for tensor, value in zip(inputs, (A, B), strict=True):
        tensor.set_data_from_numpy(value, binary_data=binary)
    return InferRequest(
        model_name="m", infer_inputs=inputs, request_id="7",
        parameters={"binary_data_output": binary},
    )  # fmt: skip


async def ask(address: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    told: dict[str, Any] = {
        "live": await client.is_server_live(address),
        "ready": await client.is_server_ready(address),
        "model_ready": await client.is_model_ready(address, "m"),
    }
    for binary in (False, True):
        response = await client.infer(address, request(binary=binary), model_name="m")
        told["binary" if binary else "json"] = {
            "id": response.id,
            **{output.name: output.as_numpy().tolist() for output in response.outputs},
        }
    try:
        await client.infer(address, request(binary=False), model_name="other")
    except Exception as error:
        told["error"] = {"status": error.response.status_code, "body": error.response.json()}
    await client.close()
    return told


print(json.dumps(asyncio.run(ask(sys.argv[1]))))
