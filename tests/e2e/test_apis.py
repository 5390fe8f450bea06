"""The digits behind a REST API, and twice behind one API: signed requests, real predictions."""

import http.client
import json
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cdk_inference.local import Deployment, local_url

from tests.e2e.emulated import client

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"
SAMPLE = json.loads((DIGITS / "samples.json").read_text())[3]
FEATURES = {"features": SAMPLE["pixels"]}
# CloudFormation waits for a snapshot to be taken; the emulator's answers 409 till then.
PATIENCE_S = 30


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Answer]


def output(deployment: Deployment, stack: str, start: str) -> str:
    (value,) = (v for name, v in deployment.outputs[stack].items() if name.startswith(start))
    return value


@pytest.fixture(scope="module")
def gateway(deployment: Deployment) -> Any:
    return client(deployment.emulator, "apigateway")


@pytest.fixture(scope="module")
def key(deployment: Deployment, gateway: Any) -> dict[str, str]:
    """The header that a partner sends."""
    key_id = output(deployment, "RestApiStack", "KeyedRestApiAcmeKeyId")
    return {"x-api-key": gateway.get_api_key(apiKey=key_id, includeValue=True)["value"]}


@pytest.fixture(scope="module")
def ask(deployment: Deployment) -> Ask:
    def send(
        url: str,
        body: Any = None,
        *,
        method: str = "POST",
        signed: bool = True,
        **headers: str,
    ) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest(method, local_url(deployment.emulator, url), sent, data)
        if signed:
            credentials = Credentials("000000000000", "test")
            SigV4Auth(credentials, "execute-api", "us-east-1").add_auth(request)
        parts = urlsplit(request.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        connection.request(method, parts.path, data, dict(request.headers.items()))
        response = connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, answered, response.read())
        connection.close()
        return answer

    return send


@pytest.fixture(scope="module")
def rest(deployment: Deployment) -> str:
    """The URL of the REST API, with its stage."""
    return output(deployment, "RestApiStack", "KeyedRestApiUrl").removesuffix("/predict")


def test_a_rest_api_reads_a_digit(ask: Ask, rest: str, key: dict[str, str]) -> None:
    answer = ask(f"{rest}/predict", FEATURES, **key)
    assert answer.status == 200, answer.body
    assert answer.json()["predictions"]["label"] == SAMPLE["label"]
    health = ask(f"{rest}/health", method="GET", **key)
    assert health.json()["model"] == "digits"


def test_it_refuses_who_has_no_key(ask: Ask, rest: str) -> None:
    assert ask(f"{rest}/predict", FEATURES).status == 403
    assert ask(f"{rest}/predict", FEATURES, x_api_key="guessed").status == 403


def test_it_refuses_who_does_not_sign(ask: Ask, rest: str, key: dict[str, str]) -> None:
    assert ask(f"{rest}/predict", FEATURES, signed=False, **key).status == 403


@pytest.fixture
def validating(gateway: Any, rest: str) -> None:
    """The emulator's CloudFormation makes no request validator; its API Gateway has them."""
    api = rest.removeprefix("https://").partition(".")[0]
    (predict,) = (r for r in gateway.get_resources(restApiId=api)["items"] if "/pre" in r["path"])
    validator = gateway.create_request_validator(restApiId=api, validateRequestBody=True)["id"]
    gateway.update_method(
        restApiId=api,
        resourceId=predict["id"],
        httpMethod="POST",
        patchOperations=[{"op": "replace", "path": "/requestValidatorId", "value": validator}],
    )
    gateway.create_deployment(restApiId=api, stageName="prod")


@pytest.mark.usefixtures("validating")
def test_it_refuses_what_does_not_fit_the_model(ask: Ask, rest: str, key: dict[str, str]) -> None:
    for body in ({"features": ["seven"]}, {"features": [1, 2]}, {}, "seven"):
        answer = ask(f"{rest}/predict", body, **key)
        assert (answer.status, answer.json()["error"]["code"]) == (400, "INVALID_INPUT")
        assert "the API's OpenAPI document" in answer.json()["error"]["message"]
    for body in (FEATURES, {"inputs": {"pixels": [SAMPLE["pixels"]] * 2}}):
        assert ask(f"{rest}/predict", body, **key).status == 200


def test_raw_tensors_go_in_and_come_out(ask: Ask, rest: str, key: dict[str, str]) -> None:
    tensor = struct.pack("<64f", *SAMPLE["pixels"])
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": "pixels",
                    "shape": [1, 64],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": len(tensor)},
                }
            ],
            "outputs": [{"name": "label", "parameters": {"binary_data": True}}],
        }
    ).encode()
    answer = ask(
        f"{rest}/v2/models/digits/infer",
        header + tensor,
        Content_Type="application/octet-stream",
        Accept="application/octet-stream",
        Inference_Header_Content_Length=str(len(header)),
        **key,
    )
    assert answer.status == 200, answer.body
    length = int(answer.headers["inference-header-content-length"])
    assert struct.unpack("<q", answer.body[length:]) == (SAMPLE["label"],)


@pytest.fixture(scope="module")
def token(deployment: Deployment) -> str:
    """Of a user who logged in."""
    users = client(deployment.emulator, "cognito-idp")
    pool = output(deployment, "UserPoolApiStack", "UserPool")
    password = "Dahlie-7-Zaun!"
    users.admin_create_user(UserPoolId=pool, Username="anna", MessageAction="SUPPRESS")
    users.admin_set_user_password(
        UserPoolId=pool, Username="anna", Password=password, Permanent=True
    )
    answer = users.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=output(deployment, "UserPoolApiStack", "Client"),
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "anna", "PASSWORD": password},
    )
    return str(answer["AuthenticationResult"]["IdToken"])


@pytest.mark.parametrize("api", ["HttpApi", "RestApi"])
def test_a_user_reads_a_digit_and_nobody_else(
    ask: Ask, deployment: Deployment, api: str, token: str
) -> None:
    url = output(deployment, "UserPoolApiStack", f"Members{api}Url")
    answer = ask(url, FEATURES, signed=False, Authorization=f"Bearer {token}")
    assert answer.status == 200, answer.body
    assert answer.json()["predictions"]["label"] == SAMPLE["label"]
    header, claims, _ = token.split(".")
    assert ask(url, FEATURES, signed=False).status == 401
    forged = f"Bearer {header}.{claims}.c2lnbmVk"
    assert ask(url, FEATURES, signed=False, Authorization=forged).status == 401


@pytest.mark.parametrize("stack", ["MultiModelStack", "MultiModelRestStack"])
def test_each_model_of_an_api_reads_a_digit(ask: Ask, deployment: Deployment, stack: str) -> None:
    url = output(deployment, stack, "ModelsUrl")
    inference = {
        "inputs": [
            {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": SAMPLE["pixels"]}
        ]
    }
    for name in ("digits", "digits-restored"):
        predicted = wait_for(lambda name=name: ask(f"{url}/models/{name}/predict", FEATURES))
        assert predicted.json()["predictions"]["label"] == SAMPLE["label"]
        inferred = ask(f"{url}/v2/models/{name}/infer", inference).json()
        assert (inferred["model_name"], inferred["outputs"][0]["data"]) == (name, [SAMPLE["label"]])
        ready = ask(f"{url}/v2/models/{name}/ready", method="GET").json()
        assert ready == {"name": name, "ready": True}
    assert ask(f"{url}/models/faces/predict", FEATURES).status in (403, 404)


def wait_for(answer: Callable[[], Answer]) -> Answer:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = answer()
        if found.status == 200:
            return found
        assert time.monotonic() < deadline, found.body
        time.sleep(0.1)
