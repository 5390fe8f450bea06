"""The digits model as it is deployed: through API Gateway and Lambda, from its layers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from cdk_inference.local import Deployment, Emulator, Reply, invoke

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"
SAMPLES: list[dict[str, Any]] = json.loads((DIGITS / "samples.json").read_text())
URL = "DigitsStack.DigitsHttpApiUrl"


def ask(emulator: Emulator, body: object, target: str = URL) -> Reply:
    return invoke(emulator, target, json.dumps(body).encode())


@pytest.fixture(scope="module")
def expected() -> list[np.ndarray]:
    """Each sample's probabilities, from onnxruntime itself."""
    session = ort.InferenceSession(DIGITS / "digits.onnx")
    pixels = np.array([sample["pixels"] for sample in SAMPLES], np.float32)
    _, probabilities = session.run(None, {"pixels": pixels})
    return list(probabilities)


def assert_close(prediction: dict[str, Any], probabilities: np.ndarray) -> None:
    answered = [prediction["probabilities"][str(label)] for label in range(10)]
    np.testing.assert_allclose(answered, probabilities, rtol=1e-5, atol=1e-7)


def test_a_functions_own_url_reads_a_digit(deployment: Deployment) -> None:
    target = "FunctionUrlStack.AddressedFunctionUrl/predict"
    reply = ask(deployment.emulator, {"features": SAMPLES[3]["pixels"]}, target)

    assert reply.status == 200, reply.body
    assert reply.json()["predictions"]["label"] == SAMPLES[3]["label"]


def test_every_digit_is_read_right(deployment: Deployment, expected: list[np.ndarray]) -> None:
    for sample, probabilities in zip(SAMPLES, expected, strict=True):
        reply = ask(deployment.emulator, {"features": sample["pixels"]})

        assert reply.status == 200
        assert reply.json()["predictions"]["label"] == sample["label"]
        assert_close(reply.json()["predictions"], probabilities)
        assert reply.json()["model_version"]


def test_a_batch_gives_one_answer_for_each_row(
    deployment: Deployment, expected: list[np.ndarray]
) -> None:
    batch = [sample["pixels"] for sample in SAMPLES]
    reply = ask(deployment.emulator, {"features": batch})

    predictions = reply.json()["predictions"]
    assert [prediction["label"] for prediction in predictions] == list(range(10))
    for prediction, probabilities in zip(predictions, expected, strict=True):
        assert_close(prediction, probabilities)


@pytest.mark.parametrize("target", ["DigitsStack.DigitsFunctionArn", "DigitsStack.DigitsAliasArn"])
def test_the_function_and_its_alias_answer_as_the_api_does(
    deployment: Deployment, target: str
) -> None:
    body = {"features": SAMPLES[3]["pixels"]}

    assert ask(deployment.emulator, body, target).json() == ask(deployment.emulator, body).json()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "features"),
        ({"features": [1, 2, 3]}, "64"),
        ({"features": "seven"}, "seven"),
    ],
)
def test_what_the_caller_got_wrong_is_told(
    deployment: Deployment, body: object, message: str
) -> None:
    reply = ask(deployment.emulator, body)

    assert reply.status == 400
    assert message in reply.json()["error"]["message"]


def test_every_stack_of_the_app_is_deployed(deployment: Deployment) -> None:
    assert deployment.outputs.keys() >= {"DigitsStack"}
