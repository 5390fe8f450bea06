"""The runtime keeps to what the constructs say of it in ``cdk_inference.contract``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import inference_runtime
import pytest
from cdk_inference import contract
from inference_runtime import manifest
from inference_runtime.adapters import aws_codedeploy, model_cache_extension
from inference_runtime.adapters.lambda_function import LONGEST_HOLD_MS, LambdaFunction
from inference_runtime.batch import job
from inference_runtime.engine import selection
from inference_runtime.engine.capi.values import ELEMENT_TYPES
from inference_runtime.messages import Request
from inference_runtime.optimize import publication
from inference_runtime.serving import start
from inference_runtime.settings import SNAP_START, VARIABLES, Settings, smoke_test_target
from inference_runtime.tensor import DATATYPES

from tests.contract.runtime_api import LOOP
from tests.runtime.planes import DIGITS

ROOT = Path(__file__).parents[2]

# An artifact's layout, in which the working directory is not where the model is: as in a Lambda
# layer. Answers one event of an HTTP API for each "METHOD path" given.
SERVE = """
import importlib, json, sys
layer, entry_point, *requests = sys.argv[1:]
sys.path.append(layer)
module, _, function = entry_point.rpartition(".")
handler = getattr(importlib.import_module(module), function)

class Context:
    aws_request_id = "1"
    get_remaining_time_in_millis = staticmethod(lambda: 30_000)

def event(request):
    method, path = request.split()
    http = {"method": method, "path": path}
    body = json.dumps({"features": [0.0] * 64}) if method == "POST" else ""
    return {
        "version": "2.0", "routeKey": request, "rawPath": path, "headers": {}, "body": body,
        "isBase64Encoded": False, "requestContext": {"http": http, "stage": "$default"},
    }

answers = [handler(event(request), Context()) for request in requests]
print(json.dumps([[a["statusCode"], json.loads(a["body"])] for a in answers]))
"""


def test_the_engine_without_numpy_serves_every_datatype() -> None:
    assert set(ELEMENT_TYPES.values()) == set(DATATYPES) == contract.TENSOR_DATATYPES
    assert selection.STOCK == contract.STOCK_ENGINE


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layer")
    model = folder / contract.model_uri("digits")
    model.parent.mkdir(parents=True)
    shutil.copyfile(ROOT / "models" / "digits" / "digits.onnx", model)
    return folder


def answers(layer: Path, *requests: str, **variables: str) -> list[tuple[int, dict[str, object]]]:
    model = {
        contract.MODEL_URI: contract.model_uri("digits"),
        contract.MODEL_NAME: "digits",
        contract.MODEL_VERSION: "7",
    }
    result = subprocess.run(
        [sys.executable, "-c", SERVE, layer, contract.AWS_LAMBDA_HANDLER, *requests],
        env={**os.environ, **model, **variables},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [(status, body) for status, body in json.loads(result.stdout.splitlines()[-1])]


def test_every_variable_that_constructs_name_is_a_setting_of_the_runtime() -> None:
    named = {
        value
        for value in vars(contract).values()
        if isinstance(value, str) and value.startswith(("INFERENCE_", "MODEL_"))
    }
    assert named > contract.RESERVED_ENVIRONMENT
    assert named <= {variable.name for variable in VARIABLES}


def test_every_setting_of_the_contract_is_one_of_the_runtime() -> None:
    settings = {
        value
        for value in vars(contract).values()
        if isinstance(value, str) and value.startswith(("INFERENCE_", "MODEL_"))
    }
    assert contract.TLS_CERTIFICATE in settings
    assert {variable.name for variable in VARIABLES} >= settings


def test_both_containers_commands_are_of_the_runtime() -> None:
    for python, *command in (contract.SERVE_COMMAND, contract.FETCH_COMMAND):
        assert python == "python"
        run = subprocess.run(
            [sys.executable, *command, "--help"], capture_output=True, text=True, check=True
        )
        assert "$MODEL_URI" in run.stdout


def test_the_pipelines_variable_has_the_same_name_on_both_sides() -> None:
    assert {v.attribute for v in VARIABLES if v.name == contract.PIPELINE} == {"pipeline"}


def test_the_predict_path_has_the_same_default_on_both_sides() -> None:
    (variable,) = (v for v in VARIABLES if v.name == contract.PREDICT_PATH)
    assert variable.default == contract.DEFAULT_PREDICT_PATH


def test_both_sides_hold_a_warm_up_for_the_same_time_at_most() -> None:
    assert LONGEST_HOLD_MS == contract.WARM_UP_HOLD_LIMIT_MS


def test_the_runtime_answers_the_warm_up_event(layer: Path) -> None:
    model = str(layer / contract.model_uri("digits"))
    function = LambdaFunction(start(Settings.read({contract.MODEL_URI: model})))
    assert function.answer(contract.warm_up_event(1), "1", time.time() + 30) == {"warmup": True}


def test_both_sides_know_what_lambda_says_of_snap_start() -> None:
    (variable,) = (v for v in VARIABLES if v.name == contract.INITIALIZATION_TYPE)
    assert variable.attribute == "lambda_initialization"
    assert SNAP_START == contract.SNAP_START


def test_both_sides_know_what_a_hook_asks_and_whom() -> None:
    assert aws_codedeploy.SMOKE_TESTS_FILE == contract.SMOKE_TESTS_FILE
    assert smoke_test_target({contract.SMOKE_TEST_TARGET: "arn"}) == "arn"
    assert f"{aws_codedeploy.__name__}.handler" == contract.AWS_CODEDEPLOY_HANDLER


def test_both_sides_know_where_a_batchs_answers_are() -> None:
    assert job.RESULTS == contract.BATCH_RESULTS


def test_the_package_is_the_one_that_is_shipped() -> None:
    assert inference_runtime.__name__ == contract.RUNTIME_PACKAGE
    assert contract.AWS_LAMBDA_HANDLER.startswith(f"{contract.RUNTIME_PACKAGE}.")


def test_the_extension_is_started_by_a_file_of_the_package() -> None:
    package = Path(inference_runtime.__path__[0])
    launcher = (package.parent / contract.MODEL_CACHE_LAUNCHER).read_text()
    assert launcher.startswith("#!/bin/sh\n")
    assert f" -m {model_cache_extension.__name__} " in launcher


def test_the_handler_of_the_custom_resource_needs_no_layer() -> None:
    module, _, function = contract.AWS_CLOUDFORMATION_HANDLER.rpartition(".")
    load = f"sys.path.insert(0, sys.argv[1]); from {module} import {function}"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; {load}", str(ROOT / "runtime")]
    subprocess.run(command, check=True)


def test_the_images_command_is_the_client_that_the_tests_run() -> None:
    assert ("python", *LOOP) == contract.AWS_LAMBDA_COMMAND


def test_the_handler_serves_the_model_of_a_layer_at_both_routes(layer: Path) -> None:
    predict = f"POST {contract.DEFAULT_PREDICT_PATH}"
    (status, prediction), (health_status, health) = answers(
        layer, predict, f"GET {contract.HEALTH_PATH}"
    )
    assert (status, prediction["model_version"]) == (200, "7")
    assert (health_status, health["model"], health["model_version"]) == (200, "digits", "7")


def test_the_handler_serves_a_model_by_its_name(layer: Path) -> None:
    predicted, signature, ready, unknown = answers(
        layer,
        f"POST {contract.predict_path('digits')}",
        f"GET {contract.metadata_path('digits')}",
        f"GET {contract.ready_path('digits')}",
        f"POST {contract.infer_path('faces')}",
    )
    assert (predicted[0], predicted[1]["model_version"]) == (200, "7")
    assert (signature[0], signature[1]["name"]) == (200, "digits")
    assert ready == (200, {"name": "digits", "ready": True})
    assert (unknown[0], "'faces'" in str(unknown[1]["error"])) == (404, True)


def test_the_handler_serves_at_the_path_that_it_is_told(layer: Path) -> None:
    (told, default) = answers(
        layer,
        "POST /v1/digits",
        f"POST {contract.DEFAULT_PREDICT_PATH}",
        **{contract.PREDICT_PATH: "/v1/digits"},
    )
    assert (told[0], default[0]) == (200, 404)


def test_the_manifest_of_an_optimised_model_has_the_same_name_on_both_sides() -> None:
    assert contract.MANIFEST_FILE == manifest.MANIFEST_FILE
    assert contract.MODEL_FILE == publication.MODEL_FILE


class FailingPipeline:
    """A user's code that is broken."""

    def preprocess(self, _request: object) -> object:
        raise RuntimeError("broken")

    def postprocess(self, outputs: object) -> object:
        return outputs


def logged(capsys: pytest.CaptureFixture[str], **variables: str) -> list[dict[str, object]]:
    """The lines of a start, a prediction that had waited, and one with a bad input."""
    settings = {contract.MODEL_URI: str(DIGITS), "INFERENCE_PROFILE": "throughput", **variables}
    plane = start(Settings.read(settings))
    for pixels in ([0.0] * 64, [0.0]):
        body = json.dumps({"features": pixels}).encode()
        plane.handle(Request("POST", "/predict", {}, body, "1", received=time.perf_counter()))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_log_has_the_lines_and_fields_that_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = logged(capsys)
    broken = logged(capsys, INFERENCE_PIPELINE=f"{__name__}:{FailingPipeline.__name__}")
    lines += broken
    assert {line["message"] for line in lines} >= {
        contract.LOG_READY,
        contract.LOG_REQUEST,
        contract.LOG_TRACEBACK,
    }
    assert {name for line in lines for name in line} >= set(contract.LogField)


def test_emf_has_few_metrics_of_few_dimensions(capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged(capsys, INFERENCE_METRICS="emf")
    directives = [
        directive
        for line in lines
        if "_aws" in line
        for directive in line["_aws"]["CloudWatchMetrics"]  # type: ignore[index]
    ]
    assert directives
    for directive in directives:
        assert directive["Namespace"] == contract.EMF_NAMESPACE
        assert directive["Dimensions"] == [list(contract.EMF_DIMENSIONS)]
        assert {metric["Name"] for metric in directive["Metrics"]} <= set(contract.EMF_METRICS)
