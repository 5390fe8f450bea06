from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from cdk_inference import InferenceModel
from cdk_inference.artifact import google_function_archive
from cdk_inference.gcp import CloudFunctionService, Ingress, ModelSource
from cdk_inference.limits import CLOUD_RUN_NAME_LENGTH
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.gcp.terraform import (
    REGION,
    construct_ids,
    only_resource,
    refusals,
    resources,
    same_on_both,
    synthesize,
)
from tests.constructs.synthesis import ROOT

FUNCTION = "google_cloudfunctions2_function"
BUILDER = "builder@my-project.iam.gserviceaccount.com"


def make(stack: Any, model: InferenceModel, **options: Any) -> CloudFunctionService:
    return CloudFunctionService(stack, "Scale", model=model, region=REGION, **options)


def variables(stack: Any) -> dict[str, str]:
    found: dict[str, str] = only_resource(stack, FUNCTION)["service_config"][
        "environment_variables"
    ]
    return found


def test_minimal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    document = same_on_both(lambda stack: make(stack, model))
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def make_maximal(stack: Any, model: InferenceModel) -> None:
    function = make(
        stack,
        model,
        model_source=ModelSource.bucket("gs://my-models/scale/model.onnx"),
        cpu=2,
        memory="2Gi",
        python_version="3.12",
        environment={"INFERENCE_THREADS": "1"},
        cors_origins=["https://example.org", "https://example.com"],
        min_instances=1,
        max_instances=5,
        concurrency=2,
        timeout=timedelta(minutes=5),
        ingress=Ingress.INTERNAL,
        build_service_account=f"projects/my-project/serviceAccounts/{BUILDER}",
        labels={"team": "data"},
    )
    function.grant_invoke("Shop", "serviceAccount:shop@my-project.iam.gserviceaccount.com")
    function.allow_unauthenticated()


def test_maximal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    document = same_on_both(lambda stack: make_maximal(stack, model))
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def test_the_source_is_uploaded_for_its_own_eyes(stack: Any, model: InferenceModel) -> None:
    make(stack, model)
    document = synthesize(stack)
    (bucket,) = resources(document, "google_storage_bucket")
    assert bucket["uniform_bucket_level_access"] is True
    assert bucket["public_access_prevention"] == "enforced"
    (archive,) = resources(document, "google_storage_bucket_object")
    assert archive["source"].endswith(archive["name"])


def test_the_runtime_answers_browsers_of_those_origins(stack: Any, model: InferenceModel) -> None:
    make(stack, model, cors_origins=["https://example.org"])
    assert variables(stack)["INFERENCE_CORS_ORIGINS"] == "https://example.org"


def test_nobody_may_call_it_unasked(stack: Any, model: InferenceModel) -> None:
    make(stack, model)
    assert not any("iam" in resource_type for resource_type in synthesize(stack)["resource"])


def test_everyone_may_call_it_when_asked_by_name(stack: Any, model: InferenceModel) -> None:
    make(stack, model).allow_unauthenticated()
    grant = only_resource(stack, "google_cloud_run_v2_service_iam_member")
    assert (grant["role"], grant["member"]) == ("roles/run.invoker", "allUsers")


def test_construct_ids_are_public(stack: Any, model: InferenceModel) -> None:
    assert construct_ids(make(stack, model)) == [
        "ServiceAccount",
        "Source",
        "Client",
        "Bucket",
        "Archive",
        "Function",
        "Url",
    ]


def test_only_what_a_browser_sends_is_an_origin(stack: Any, model: InferenceModel) -> None:
    wrong = ["example.org", "https://example.org/", "https://Example.org", "https://*.org", ""]
    problems = refusals(
        CloudFunctionService,
        stack,
        model=model,
        region=REGION,
        cors_origins=["*", "https://example.org", "http://localhost:5173", *wrong],
    )
    assert [problem.split(";")[0] for problem in problems] == [
        f"cors_origins has {origin!r}" for origin in wrong
    ]


def test_its_service_has_its_own_name(stack: Any, model: InferenceModel) -> None:
    CloudFunctionService(stack, "Long" * 20, model=model, region=REGION)
    name = only_resource(stack, "google_cloudfunctions2_function")["name"]
    assert len(name) <= CLOUD_RUN_NAME_LENGTH


def test_all_problems_come_at_once(stack: Any, model: InferenceModel) -> None:
    problems = refusals(
        CloudFunctionService,
        stack,
        model=model,
        region=REGION,
        python_version="2.7",
        cpu=3,
        concurrency=0,
        timeout=timedelta(hours=2),
        environment={"MODEL_URI": "x", "PORT": "1", "FUNCTION_TARGET": "mine"},
        model_source=ModelSource.bucket("here"),
        build_service_account=BUILDER,
        labels={"Team": "data"},
    )
    assert len(problems) == 10


SERVE = """
import json, sys
from functions_framework import create_app
app = create_app("handler", "main.py").test_client()
pixels = {"features": [0.0] * 64}
origin = {"Origin": "https://example.org"}
preflight = {**origin, "Access-Control-Request-Method": "POST"}
answer = app.post("/predict", json=pixels, headers=origin)
asked = app.options("/predict", headers=preflight)
name = "Access-Control-Allow-Origin"
print(json.dumps([answer.status_code, answer.json, asked.status_code, asked.headers[name]]))
"""


def test_the_source_serves_in_the_real_functions_framework(tmp_path: Path) -> None:
    model = InferenceModel.from_file(ROOT / "models" / "digits" / "digits.onnx", version="7")
    with ZipFile(google_function_archive(model).path) as archive:
        archive.extractall(tmp_path)
    settings = {
        "MODEL_URI": "models/digits/model.onnx",
        "MODEL_NAME": model.name,
        "MODEL_VERSION": model.version,
        "INFERENCE_CORS_ORIGINS": "https://example.org",
    }
    output = subprocess.run(
        [sys.executable, "-c", SERVE],
        cwd=tmp_path,
        env={**os.environ, **settings},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    status, prediction, preflight, origin = json.loads(output.splitlines()[-1])
    assert (status, prediction["model_version"]) == (200, "7")
    assert (preflight, origin) == (204, "https://example.org")


def test_a_model_in_a_bucket_is_not_in_the_source() -> None:
    with ZipFile(google_function_archive(None).path) as archive:
        assert not [name for name in archive.namelist() if name.startswith("models/")]


@pytest.mark.parametrize("requirement", ["functions-framework==", "onnxruntime=="])
def test_the_source_says_what_its_build_installs(requirement: str) -> None:
    with ZipFile(google_function_archive(None).path) as archive:
        assert requirement in archive.read("requirements.txt").decode()
