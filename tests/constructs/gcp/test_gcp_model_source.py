"""What a service and its account get for each way to have a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cdk_inference import InferenceModel
from cdk_inference.contract import FETCH_COMMAND, SERVE_COMMAND
from cdk_inference.gcp import (
    Bindings,
    CloudFunctionService,
    CloudRunGpuService,
    CloudRunService,
    Medium,
    ModelBucket,
    ModelSource,
)
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

SERVICE = "google_cloud_run_v2_service"
URI = "gs://my-models/scale/1/model.onnx"
MIB = 2**20


def make(stack: Any, model: InferenceModel, source: ModelSource, **options: Any) -> Any:
    return CloudRunService(
        stack,
        "Scale",
        **{"model": model, "image": IMAGE, "region": REGION, "model_source": source, **options},
    )


def refused(stack: Any, model: InferenceModel, source: ModelSource) -> tuple[str, ...]:
    return refusals(
        CloudRunService, stack, model=model, image=IMAGE, region=REGION, model_source=source
    )


def template(stack: Any) -> dict[str, Any]:
    found: dict[str, Any] = only_resource(stack, SERVICE)["template"]
    return found


def containers(stack: Any) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in template(stack)["containers"]}


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"]}


def volume(stack: Any) -> dict[str, Any]:
    (only,) = template(stack)["volumes"]
    return dict(only)


# Mounted


def test_a_mounted_bucket_is_read_only_and_its_model_a_path(
    stack: Any, model: InferenceModel
) -> None:
    make(stack, model, ModelSource.mounted(URI))
    assert volume(stack) == {
        "name": "models",
        "gcs": {"bucket": "my-models", "read_only": True},
    }
    runtime = containers(stack)["runtime"]
    (mount,) = runtime["volume_mounts"]
    assert variables(runtime)["MODEL_URI"] == f"{mount['mount_path']}/scale/1/model.onnx"
    assert variables(runtime)["MODEL_SHA256"] == model.sha256
    assert "INFERENCE_CACHE_DIR" not in variables(runtime)


def test_its_account_may_read_the_bucket_once(stack: Any, model: InferenceModel) -> None:
    make(stack, model, ModelSource.mounted(URI))
    grant = only_resource(stack, "google_storage_bucket_iam_member")
    assert (grant["bucket"], grant["role"]) == ("my-models", "roles/storage.objectViewer")


def test_a_mounted_model_takes_no_memory_for_its_file(stack: Any, model: InferenceModel) -> None:
    large = replace(model, size_bytes=1000 * MIB)
    make(stack, large, ModelSource.mounted(URI))
    assert containers(stack)["runtime"]["resources"]["limits"]["memory"] == "4Gi"


def test_mount_options_are_given_on(model: InferenceModel) -> None:
    stack = new_stack(Bindings.CDKTN)
    make(stack, model, ModelSource.mounted(URI, mount_options=["metadata-cache-ttl-secs=-1"]))
    assert volume(stack)["gcs"]["mount_options"] == ["metadata-cache-ttl-secs=-1"]


def test_the_older_provider_has_no_mount_options(model: InferenceModel) -> None:
    source = ModelSource.mounted(URI, mount_options=["metadata-cache-ttl-secs=-1"])
    assert refused(new_stack(Bindings.CDKTF), model, source) == (
        "mount_options are metadata-cache-ttl-secs=-1; the provider of cdktf, of 2025, has none for"
        " a bucket; use the bindings of cdktn, or leave them out",
    )


def test_mount_options_have_no_dashes(model: InferenceModel) -> None:
    source = ModelSource.mounted(URI, mount_options=["--implicit-dirs"])
    (problem,) = refused(new_stack(Bindings.CDKTN), model, source)
    assert problem.startswith("mount_options has --implicit-dirs; Cloud Run takes them without")


def test_a_gpu_service_mounts_it_too(stack: Any, model: InferenceModel) -> None:
    CloudRunGpuService(
        stack,
        "Scale",
        model=model,
        image=IMAGE,
        region=REGION,
        model_source=ModelSource.mounted(URI),
    )
    assert volume(stack)["gcs"]["read_only"] is True


# Loaded


def test_loaded_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    def make_loaded(stack: Any) -> None:
        models = ModelBucket(stack, "Models", region=REGION)
        make(stack, model, ModelSource.loaded(models.put(model)))

    assert same_on_both(make_loaded) == snapshot(extension_class=JSONSnapshotExtension)


def test_the_runtime_starts_when_the_loader_is_done(stack: Any, model: InferenceModel) -> None:
    make(stack, model, ModelSource.loaded(URI))
    runtime, loader = containers(stack)["runtime"], containers(stack)["model-loader"]
    assert runtime["depends_on"] == ["model-loader"]
    assert "depends_on" not in loader
    port = int(variables(loader)["INFERENCE_PORT"])
    assert loader["startup_probe"]["tcp_socket"] == {"port": port}
    assert "ports" not in loader
    assert runtime["ports"]


def test_both_are_one_image_and_share_one_volume(stack: Any, model: InferenceModel) -> None:
    make(stack, model, ModelSource.loaded(URI))
    runtime, loader = containers(stack)["runtime"], containers(stack)["model-loader"]
    assert runtime["image"] == loader["image"] == IMAGE
    assert (runtime["command"], loader["command"]) == (list(SERVE_COMMAND), list(FETCH_COMMAND))
    assert runtime["volume_mounts"] == loader["volume_mounts"]
    for name in ("MODEL_URI", "MODEL_SHA256", "INFERENCE_CACHE_DIR"):
        assert variables(runtime)[name] == variables(loader)[name]


def test_the_file_in_memory_is_the_loaders_and_not_the_runtimes(
    stack: Any, model: InferenceModel
) -> None:
    large = replace(model, size_bytes=1000 * MIB)
    make(stack, large, ModelSource.loaded(URI))
    assert volume(stack)["empty_dir"] == {"medium": "MEMORY", "size_limit": "1016Mi"}
    runtime, loader = containers(stack)["runtime"], containers(stack)["model-loader"]
    assert runtime["resources"]["limits"]["memory"] == "4Gi"
    assert loader["resources"]["limits"] == {"cpu": "1", "memory": "1536Mi"}


def test_on_disk_it_takes_no_memory(model: InferenceModel) -> None:
    stack = new_stack(Bindings.CDKTN)
    large = replace(model, size_bytes=9000 * MIB)
    make(stack, large, ModelSource.loaded(URI, medium=Medium.DISK), memory="32Gi")
    assert volume(stack)["empty_dir"] == {"medium": "DISK", "size_limit": "9016Mi"}
    loader = containers(stack)["model-loader"]
    assert loader["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}


def test_what_is_fetched_can_be_kept_on_disk_too(model: InferenceModel) -> None:
    stack = new_stack(Bindings.CDKTN)
    large = replace(model, size_bytes=1000 * MIB)
    make(stack, large, ModelSource.bucket(URI, medium=Medium.DISK))
    assert volume(stack)["empty_dir"]["medium"] == "DISK"
    # Cloud Run has disks in preview, and refuses a service that does not say so.
    assert only_resource(stack, "google_cloud_run_v2_service")["launch_stage"] == "BETA"
    assert containers(stack)["runtime"]["resources"]["limits"]["memory"] == "4Gi"


def test_the_older_provider_has_no_disks(model: InferenceModel) -> None:
    source = ModelSource.loaded(URI, medium=Medium.DISK)
    (problem,) = refused(new_stack(Bindings.CDKTF), model, source)
    assert "the provider of cdktf, of 2025, knows volumes in memory only" in problem


def test_a_disk_has_an_end(model: InferenceModel) -> None:
    huge = replace(model, size_bytes=10_000 * MIB)
    source = ModelSource.bucket(URI, medium=Medium.DISK)
    problems = refused(new_stack(Bindings.CDKTN), huge, source)
    assert any("takes 10016 MiB of disk" in problem for problem in problems)


def test_so_has_the_loaders_memory(stack: Any, model: InferenceModel) -> None:
    huge = replace(model, size_bytes=40_000 * MIB)
    problems = refused(stack, huge, ModelSource.loaded(URI))
    assert any("loader would need 40704 MiB of memory" in problem for problem in problems)


def test_the_runtime_does_not_listen_where_the_loader_does(
    stack: Any, model: InferenceModel
) -> None:
    (problem,) = refusals(
        CloudRunService,
        stack,
        model=model,
        image=IMAGE,
        region=REGION,
        port=8090,
        model_source=ModelSource.loaded(URI),
    )
    assert problem.startswith("port is 8090; the model's loader listens there")


# All


@pytest.mark.parametrize("make_source", [ModelSource.loaded, ModelSource.mounted])
def test_it_is_an_objects_uri(stack: Any, model: InferenceModel, make_source: Any) -> None:
    (problem,) = refused(stack, model, make_source("s3://a/b"))
    assert problem.startswith("model_source is 's3://a/b'; it is the URI of an ONNX file")


@pytest.mark.parametrize(
    "source",
    [
        ModelSource.loaded(URI),
        ModelSource.mounted(URI),
        ModelSource.bucket(URI, medium=Medium.DISK),
    ],
)
def test_a_function_has_one_container_and_no_volumes(
    stack: Any, model: InferenceModel, source: ModelSource
) -> None:
    (problem,) = refusals(
        CloudFunctionService, stack, model=model, region=REGION, model_source=source
    )
    assert "a function has one container, and no volumes" in problem


def test_a_manifest_pins_its_files_itself(stack: Any, model: InferenceModel) -> None:
    optimized = replace(model, files={**model.files, "manifest.json": model.path})
    make(stack, optimized, ModelSource.bucket(URI))
    assert "MODEL_SHA256" not in variables(containers(stack)["runtime"])


def test_a_model_of_a_model_bucket_is_uploaded_before_it_is_mounted(
    stack: Any, model: InferenceModel
) -> None:
    models = ModelBucket(stack, "Models", region=REGION)
    make(stack, model, ModelSource.mounted(models.put(model)))
    assert volume(stack)["gcs"]["bucket"].startswith("${google_storage_bucket_object.")
    uri = variables(containers(stack)["runtime"])["MODEL_URI"]
    assert uri == "/mnt/models/scale/1/model.onnx"
    assert len(resources(synthesize(stack), "google_storage_bucket_object")) == 1
