"""The runtime reads what the constructs for Google Cloud set, and understands it as they do."""

from __future__ import annotations

from typing import Any

import pytest
from cdk_inference import InferenceModel
from cdk_inference.gcp import (
    Bindings,
    CloudFunctionService,
    CloudRunGpuService,
    CloudRunService,
    ModelSource,
    TensorRt,
)
from cdk_inference.gcp.testing import document
from inference_runtime.settings import VARIABLES, Settings

from tests.constructs.gcp.terraform import IMAGE, REGION, new_stack, only_resource
from tests.constructs.synthesis import ROOT

OURS = {variable.name for variable in VARIABLES}


@pytest.fixture(scope="module")
def model() -> InferenceModel:
    return InferenceModel.from_file(ROOT / "models" / "digits" / "digits.onnx")


def variables(construct: Any, **options: Any) -> dict[str, str]:
    """What an instance of the synthesized service has in its environment."""
    stack = new_stack(Bindings.CDKTN)
    construct(stack, "Digits", region=REGION, **options)
    service = only_resource(stack, "google_cloud_run_v2_service")
    (container,) = service["template"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


def test_a_service_on_cpus(model: InferenceModel) -> None:
    given = variables(CloudRunService, model=model, image=IMAGE)
    settings = Settings.read(given)
    assert given.keys() <= OURS
    assert settings.on_cpu
    assert (settings.model_uri, settings.model_name) == ("models/digits/model.onnx", "digits")


def test_a_service_on_gpus_does_not_serve_without(model: InferenceModel) -> None:
    settings = Settings.read(variables(CloudRunGpuService, model=model, image=IMAGE))
    assert settings.providers == ("cuda", "cpu")
    assert settings.require_gpu


def test_unless_it_may(model: InferenceModel) -> None:
    given = variables(CloudRunGpuService, model=model, image=IMAGE, require_gpu=False)
    assert not Settings.read(given).require_gpu


def test_engines_of_tensorrt_are_kept_where_the_bucket_is(model: InferenceModel) -> None:
    given = variables(
        CloudRunGpuService,
        model=model,
        image=IMAGE,
        tensorrt=TensorRt(engine_bucket="my-engines"),
        model_source=ModelSource.bucket("gs://my-models/digits/model.onnx"),
    )
    settings = Settings.read(given)
    assert given.keys() <= OURS
    assert settings.providers == ("tensorrt", "cuda", "cpu")
    assert settings.tensorrt_cache_dir == "/mnt/engines"
    assert settings.model_sha256 == model.sha256


def test_a_function(model: InferenceModel) -> None:
    stack = new_stack(Bindings.CDKTN)
    CloudFunctionService(stack, "Digits", model=model, region=REGION)
    (function,) = document(stack)["resource"]["google_cloudfunctions2_function"].values()
    given = function["service_config"]["environment_variables"]
    assert {name for name in given if name.startswith(("INFERENCE_", "MODEL_"))} <= OURS
    assert Settings.read(given).model_name == "digits"
