"""What a page in a browser may send, and may read of the answer."""

from __future__ import annotations

from tests.runtime import onnx_models
from tests.runtime.planes import send, serving

ORIGIN = {"origin": "https://a.org"}


def listed(headers: dict[str, str], name: str) -> set[str]:
    return set(headers[name].split(", "))


def test_a_page_may_send_and_read_tensors_as_bytes() -> None:
    with serving(onnx_models.identity("FP32"), INFERENCE_CORS_ORIGINS="https://a.org") as plane:
        preflight = send(plane, "OPTIONS", "/v2/models/m/infer", headers=ORIGIN)
        item = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
        asked = {"inputs": [item], "parameters": {"binary_data_output": True}}
        reply = send(plane, "POST", "/v2/models/m/infer", asked, ORIGIN)
    allowed = listed(preflight.headers, "access-control-allow-headers")
    assert {"content-type", "content-encoding", "inference-header-content-length"} <= allowed
    exposed = listed(reply.headers, "access-control-expose-headers")
    assert {"inference-header-content-length", "retry-after"} <= exposed
