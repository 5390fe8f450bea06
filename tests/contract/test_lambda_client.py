"""Our handler under AWS's own client, the real ``awslambdaric``, against a Runtime API."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.runtime_api import RuntimeApi, lambda_client
from tests.runtime import onnx_models


@pytest.fixture
def model(tmp_path: Path) -> str:
    return onnx_models.save(onnx_models.zeros(), tmp_path / "model.onnx")


def test_a_bad_setting_is_an_error_of_the_start(model: str) -> None:
    with lambda_client({"MODEL_URI": model, "INFERENCE_THREADS": "many"}) as api:
        outcome = api.outcome()
    assert outcome.kind == "init error"
    assert outcome.payload["errorType"] == "InvalidSettings"
    assert outcome.payload["errorMessage"] == (
        "INFERENCE_THREADS is 'many'; it takes auto, or a whole number from 1"
    )


def test_a_missing_model_is_an_error_of_the_start() -> None:
    with lambda_client({"MODEL_URI": "/nowhere.onnx"}) as api:
        outcome = api.outcome()
    assert outcome.kind == "init error"
    assert outcome.payload["errorType"] == "ModelNotLoaded"


def test_whose_fault_decides_between_response_and_error(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with lambda_client({"MODEL_URI": model, "MODEL_VERSION": "3"}) as api:
        assert_prediction(api)
        assert_client_fault(api)
        assert_server_fault(api)
        assert_prediction(api)
        assert api.invoke({"warmup": True}, "id-5").payload == {"warmup": True}
    assert '"message":"ready"' in capfd.readouterr().out


def assert_prediction(api: RuntimeApi) -> None:
    outcome = api.invoke({"features": [2]}, "id-1")
    assert outcome.kind == "response"
    assert outcome.payload == {"predictions": [0.0, 0.0], "model_version": "3"}


def assert_client_fault(api: RuntimeApi) -> None:
    outcome = api.invoke({"features": ["2"]}, "id-2")
    assert outcome.kind == "response"
    assert outcome.payload["error"]["code"] == "INVALID_INPUT"


def assert_server_fault(api: RuntimeApi) -> None:
    outcome = api.invoke({"features": [1 << 50]}, "id-3")
    assert outcome.kind == "error"
    assert outcome.payload["errorType"] == "ModelFailed"
    assert outcome.payload["errorMessage"] == "the model ran out of memory"
    assert outcome.payload["requestId"] == "id-3"
