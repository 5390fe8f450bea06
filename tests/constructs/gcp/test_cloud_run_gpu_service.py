from __future__ import annotations

from typing import Any

import pytest
from cdk_inference import ConfigurationError, InferenceModel
from cdk_inference.gcp import (
    Bindings,
    CloudRunGpuService,
    Gpu,
    ModelSource,
    StartupProbe,
    TensorRt,
)
from cdk_inference.gcp.machine import Machine
from cdk_inference.validation import Problems
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.gcp.terraform import (
    IMAGE,
    REGION,
    new_stack,
    only_resource,
    refusals,
    resources,
    same_on_both,
    synthesize,
)
from tests.constructs.synthesis import ROOT

SERVICE = "google_cloud_run_v2_service"
TINY = InferenceModel.from_file(ROOT / "models" / "digits" / "digits.onnx")


def make(stack: Any, model: InferenceModel, **options: Any) -> CloudRunGpuService:
    given: dict[str, Any] = {"model": model, "image": IMAGE, "region": REGION, **options}
    return CloudRunGpuService(stack, "Scale", **given)


def refused(stack: Any, model: InferenceModel, **options: Any) -> tuple[str, ...]:
    given = {"model": model, "image": IMAGE, "region": REGION, **options}
    return refusals(CloudRunGpuService, stack, **given)


def template(stack: Any) -> dict[str, Any]:
    found: dict[str, Any] = only_resource(stack, SERVICE)["template"]
    return found


def container(stack: Any) -> dict[str, Any]:
    (only,) = template(stack)["containers"]
    return dict(only)


def environment(stack: Any) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(stack)["env"]}


def test_minimal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    document = same_on_both(lambda stack: make(stack, model))
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    document = same_on_both(
        lambda stack: make(
            stack,
            model,
            region="europe-west4",
            gpu=Gpu.RTX_PRO_6000,
            cpu=24,
            memory="96Gi",
            min_instances=1,
            max_instances=4,
            zonal_redundancy=True,
            require_gpu=False,
            tensorrt=TensorRt(),
            model_source=ModelSource.bucket("gs://my-models/scale/model.onnx"),
            concurrency=64,
            startup_probe=StartupProbe(period=10, failures=24),
        )
    )
    assert document == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize(
    ("gpu", "region", "accelerator", "limits"),
    [
        (Gpu.L4, "europe-west1", "nvidia-l4", {"cpu": "4", "memory": "16Gi"}),
        (Gpu.RTX_PRO_6000, "us-central1", "nvidia-rtx-pro-6000", {"cpu": "20", "memory": "80Gi"}),
    ],
)
def test_each_gpu_comes_with_the_least_that_it_needs(
    stack: Any, model: InferenceModel, gpu: Gpu, region: str, accelerator: str, limits: Any
) -> None:
    make(stack, model, gpu=gpu, region=region)
    assert template(stack)["node_selector"] == {"accelerator": accelerator}
    assert container(stack)["resources"] == {
        "limits": {**limits, "nvidia.com/gpu": "1"},
        "cpu_idle": False,
        "startup_cpu_boost": True,
    }


@pytest.mark.parametrize(
    ("gpu", "region", "stage"),
    [(Gpu.L4, "europe-west1", None), (Gpu.RTX_PRO_6000, "us-central1", "BETA")],
)
def test_a_gpu_in_preview_is_asked_for_as_such(
    stack: Any, model: InferenceModel, gpu: Gpu, region: str, stage: str | None
) -> None:
    make(stack, model, gpu=gpu, region=region)
    assert only_resource(stack, "google_cloud_run_v2_service").get("launch_stage") == stage


def test_more_memory_comes_with_more_processors(stack: Any, model: InferenceModel) -> None:
    make(stack, model, memory="32Gi")
    assert container(stack)["resources"]["limits"]["cpu"] == "8"


def test_it_is_the_cheapest_that_serves(stack: Any, model: InferenceModel) -> None:
    make(stack, model)
    assert template(stack)["gpu_zonal_redundancy_disabled"] is True
    assert template(stack)["scaling"] == {"min_instance_count": 0, "max_instance_count": 1}


def test_it_does_not_serve_on_a_cpu_silently(stack: Any, model: InferenceModel) -> None:
    make(stack, model)
    assert environment(stack)["INFERENCE_PROVIDERS"] == "cuda,cpu"
    assert environment(stack)["INFERENCE_REQUIRE_GPU"] == "on"


def test_engines_of_tensorrt_are_kept_in_a_bucket(model: InferenceModel) -> None:
    stack = new_stack(Bindings.CDKTN)
    make(stack, model, tensorrt=TensorRt(engine_bucket="my-engines"))
    (volume,) = template(stack)["volumes"]
    (mount,) = container(stack)["volume_mounts"]
    assert volume["gcs"] == {"bucket": "my-engines", "mount_options": ["uid=65534", "gid=65534"]}
    assert mount["name"] == volume["name"]
    assert environment(stack)["INFERENCE_PROVIDERS"] == "tensorrt,cuda,cpu"
    assert environment(stack)["INFERENCE_TENSORRT_CACHE_DIR"] == mount["mount_path"]
    (grant,) = resources(synthesize(stack), "google_storage_bucket_iam_member")
    assert (grant["bucket"], grant["role"]) == ("my-engines", "roles/storage.objectUser")


def test_what_only_the_newer_provider_has_is_refused_on_the_older(model: InferenceModel) -> None:
    stack = new_stack(Bindings.CDKTF)
    (found,) = refused(stack, model, tensorrt=TensorRt(engine_bucket="my-engines"))
    assert "the provider of cdktf cannot say as whom (mount_options)" in found
    assert "use the bindings of cdktn" in found


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"cpu": 2}, "cpu is 2; Cloud Run with nvidia-l4 has instances of 4, 6, 8 vCPUs"),
        ({"cpu": 5}, "cpu is 5; Cloud Run with nvidia-l4 has instances of 4, 6, 8 vCPUs"),
        (
            {"memory": "8Gi"},
            "memory is 8Gi with cpu 4; Cloud Run with nvidia-l4 allows 16 to 16 GiB",
        ),
        ({"cpu": 4, "memory": "24Gi"}, "memory is 24Gi with cpu 4"),
        ({"memory": "48Gi"}, "memory is 48Gi with cpu 8"),
        ({"cpu_idle": True}, "cpu_idle is True; an instance with a GPU keeps its vCPUs"),
        ({"region": "europe-west2"}, "region is 'europe-west2'; Cloud Run has nvidia-l4 in"),
        (
            {"gpu": Gpu.RTX_PRO_6000},
            "region is 'europe-west1'; Cloud Run has nvidia-rtx-pro-6000 in asia-southeast1,"
            " europe-west4, us-central1, and, where Google invites, in asia-south2",
        ),
        ({"concurrency": 2000}, "concurrency is 2000 requests"),
        ({"startup_probe": StartupProbe(10, 25)}, "startup_probe waits 250 seconds"),
        (
            {"environment": {"INFERENCE_REQUIRE_GPU": "no"}},
            "environment sets INFERENCE_REQUIRE_GPU",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_go_together_is_refused(
    stack: Any, model: InferenceModel, options: dict[str, Any], problem: str
) -> None:
    (found,) = refused(stack, model, **options)
    assert found.startswith(problem)


def test_all_problems_come_at_once(stack: Any, model: InferenceModel) -> None:
    problems = refused(
        stack,
        model,
        image="scale:latest",
        region="moon-1",
        cpu=1,
        memory="1Gi",
        cpu_idle=True,
        concurrency=0,
        startup_probe=StartupProbe(60, 60),
    )
    assert len(problems) == 7


@given(cpu=st.integers(1, 32), memory_gib=st.integers(1, 128), gpu=st.sampled_from(Gpu))
def test_an_instance_is_as_large_as_its_gpu_allows(cpu: int, memory_gib: int, gpu: Gpu) -> None:
    machine = Machine(cpu, f"{memory_gib}Gi", cpu_idle=False, gpu=gpu)
    problems = Problems("Machine")
    region = gpu.limits.regions[0]
    machine.check(Bindings.CDKTN, TINY, ModelSource.baked(), region, problems)
    sizes = gpu.limits.sizes or dict.fromkeys(range(20, 33), (80, 128))
    least, most = sizes.get(cpu, (gpu.limits.memory_gib, max(most for _, most in sizes.values())))
    wrong = [
        cpu not in sizes,
        not least <= memory_gib <= most,
    ]
    found = 0
    try:
        problems.raise_if_any()
    except ConfigurationError as error:
        found = len(error.problems)
    assert found == sum(wrong)
