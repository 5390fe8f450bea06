"""The runtime reads what the constructs for Google Cloud set, and understands it as they do."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import cdktn
import pytest
from cdk_inference import InferenceModel
from cdk_inference.contract import MODEL_URI
from cdk_inference.gcp import (
    Bindings,
    CloudFunctionService,
    CloudRunBatchJob,
    CloudRunGpuService,
    CloudRunService,
    Gpu,
    ModelSource,
    TensorRt,
)
from cdk_inference.gcp.testing import document
from inference_runtime.settings import VARIABLES, Settings

import stacks
from tests.constructs.gcp.terraform import IMAGE, REGION, new_stack, only_resource
from tests.constructs.synthesis import ROOT

OURS = {variable.name for variable in VARIABLES}


def terraform_stacks() -> list[type[Any]]:
    """Every stack of the package ``stacks`` that is for Google Cloud."""
    modules = [import_module(module.name) for module in iter_modules(stacks.__path__, "stacks.")]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and issubclass(value, cdktn.TerraformStack)
    ]


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


def environments(value: Any) -> Iterator[dict[str, str]]:
    """The plain variables of everything in a document that serves or loads a model."""
    if isinstance(value, list):
        for item in value:
            yield from environments(item)
    elif isinstance(value, dict):
        variables = {e["name"]: e["value"] for e in value.get("env", ()) if "value" in e}
        if MODEL_URI in variables:
            yield variables
        for item in value.values():
            yield from environments(item)


@pytest.mark.parametrize("stack", terraform_stacks(), ids=lambda stack: stack.__name__)
def test_whatever_a_reference_stack_sets_is_read(stack: Any) -> None:
    synthesized = document(stack(cdktn.Testing.app(), stack.__name__))
    found = list(environments(synthesized["resource"]))
    assert found
    for variables in found:
        ours = {name for name in variables if name.startswith(("INFERENCE_", "MODEL_"))}
        assert ours <= OURS
        Settings.read(variables)


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


def test_a_job_on_gpus_does_not_work_without(model: InferenceModel) -> None:
    stack = new_stack(Bindings.CDKTN)
    folder = "gs://my-folder/requests/"
    CloudRunBatchJob(
        stack, "Job", model=model, image=IMAGE, region=REGION, input=folder, gpu=Gpu.L4
    )
    (given,) = environments(document(stack)["resource"])
    settings = Settings.read(given)
    assert settings.providers == ("cuda", "cpu")
    assert settings.require_gpu


def test_a_function(model: InferenceModel) -> None:
    stack = new_stack(Bindings.CDKTN)
    CloudFunctionService(stack, "Digits", model=model, region=REGION)
    (function,) = document(stack)["resource"]["google_cloudfunctions2_function"].values()
    given = function["service_config"]["environment_variables"]
    assert {name for name in given if name.startswith(("INFERENCE_", "MODEL_"))} <= OURS
    assert Settings.read(given).model_name == "digits"
