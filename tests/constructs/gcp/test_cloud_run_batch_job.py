from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cdk_inference import InferenceModel
from cdk_inference.gcp import BatchTasks, Bindings, CloudRunBatchJob, Gpu
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.constructs.gcp.terraform import (
    IMAGE,
    REGION,
    construct_ids,
    only_resource,
    refusals,
    resources,
    same_on_both,
    synthesize,
)
from tests.constructs.onnx_models import save, scale_model
from tests.runtime.batch.gcs_server import GcsServer

JOB = "google_cloud_run_v2_job"
INPUT = "gs://my-requests/today/"


def given(model: InferenceModel, **options: Any) -> dict[str, Any]:
    return {"model": model, "image": IMAGE, "region": REGION, "input": INPUT, **options}


def make(stack: Any, model: InferenceModel, **options: Any) -> CloudRunBatchJob:
    return CloudRunBatchJob(stack, "Scale", **given(model, **options))


def template(stack: Any) -> dict[str, Any]:
    found: dict[str, Any] = only_resource(stack, JOB)["template"]
    return found


def container(stack: Any) -> dict[str, Any]:
    (only,) = template(stack)["template"]["containers"]
    return dict(only)


def environment(stack: Any) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(stack)["env"]}


def test_minimal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    document = same_on_both(lambda stack: make(stack, model))
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    def make_maximal(stack: Any) -> None:
        job = make(
            stack,
            model,
            output="gs://my-answers/today/",
            model_uri="gs://my-models/scale/model.onnx",
            tasks=BatchTasks(20, parallelism=2, timeout=timedelta(minutes=30), retries=5),
            gpu=Gpu.L4,
            cpu=8,
            memory="32Gi",
            environment={"INFERENCE_BATCH_ROWS": "256"},
            labels={"team": "data"},
            deletion_protection=False,
        )
        job.grant_run("Schedule", "serviceAccount:nightly@my-project.iam.gserviceaccount.com")

    assert same_on_both(make_maximal) == snapshot(extension_class=JSONSnapshotExtension)


def test_the_runtime_is_told_what_to_answer(stack: Any, model: InferenceModel) -> None:
    job = make(stack, model, environment={"INFERENCE_BATCH_ROWS": "64"})
    assert job.output == "gs://my-requests/today-results/"
    assert job.results == "gs://my-requests/today-results/results/"
    assert environment(stack) == {
        "INFERENCE_BATCH_INPUT": INPUT,
        "INFERENCE_BATCH_OUTPUT": job.output,
        "INFERENCE_BATCH_ROWS": "64",
        "INFERENCE_MAX_REQUEST_BYTES": "33554432",
        "INFERENCE_REQUEST_LOG": "errors",
        "MODEL_NAME": "scale",
        "MODEL_VERSION": "1",
        "MODEL_URI": "models/scale/model.onnx",
    }


def test_tasks_share_the_inputs_and_are_tried_again(stack: Any, model: InferenceModel) -> None:
    make(stack, model, tasks=BatchTasks(20))
    assert (template(stack)["task_count"], template(stack)["parallelism"]) == (20, 20)
    task = template(stack)["template"]
    assert (task["max_retries"], task["timeout"]) == (3, "3600s")


@pytest.mark.parametrize(
    ("gpu", "stage"), [(None, None), (Gpu.L4, None), (Gpu.RTX_PRO_6000, "BETA")]
)
def test_a_gpu_in_preview_is_asked_for_as_such(
    stack: Any, model: InferenceModel, gpu: Gpu | None, stage: str | None
) -> None:
    make(stack, model, gpu=gpu, region="europe-west4")
    assert only_resource(stack, "google_cloud_run_v2_job").get("launch_stage") == stage


def test_one_task_at_a_time_has_a_gpu(stack: Any, model: InferenceModel) -> None:
    make(stack, model, tasks=BatchTasks(20), gpu=Gpu.L4)
    assert template(stack)["parallelism"] == 1
    task = template(stack)["template"]
    assert task["node_selector"] == {"accelerator": "nvidia-l4"}
    assert task["gpu_zonal_redundancy_disabled"] is True
    limits = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert container(stack)["resources"]["limits"] == limits
    assert environment(stack)["INFERENCE_REQUIRE_GPU"] == "on"


@pytest.mark.parametrize(
    ("size_mib", "model_uri", "memory"),
    [(1, None, "1Gi"), (1000, None, "5Gi"), (1000, "gs://my-models/scale.onnx", "6Gi")],
)
def test_a_task_has_memory_for_model_and_input(
    stack: Any, model: InferenceModel, size_mib: int, model_uri: str | None, memory: str
) -> None:
    make(stack, replace(model, size_bytes=size_mib * 2**20), model_uri=model_uri)
    assert container(stack)["resources"]["limits"]["memory"] == memory


def grants(stack: Any) -> set[tuple[str, str, str | None]]:
    return {
        (one["bucket"], one["role"], one.get("condition", {}).get("expression"))
        for one in resources(synthesize(stack), "google_storage_bucket_iam_member")
    }


def test_tasks_write_to_the_output_folder_alone(stack: Any, model: InferenceModel) -> None:
    make(stack, model)
    folder = "projects/_/buckets/my-requests/objects/today-results/"
    assert grants(stack) == {
        ("my-requests", "roles/storage.objectViewer", None),
        ("my-requests", "roles/storage.objectUser", f'resource.name.startsWith("{folder}")'),
    }


def test_each_bucket_is_granted(stack: Any, model: InferenceModel) -> None:
    make(stack, model, output="gs://answers/", model_uri="gs://my-models/scale.onnx")
    folder = "projects/_/buckets/answers/objects/"
    assert grants(stack) == {
        ("my-models", "roles/storage.objectViewer", None),
        ("my-requests", "roles/storage.objectViewer", None),
        ("answers", "roles/storage.objectViewer", None),
        ("answers", "roles/storage.objectUser", f'resource.name.startsWith("{folder}")'),
    }
    assert len(only_resource(stack, JOB)["depends_on"]) == 4


def test_nobody_may_execute_it_unasked(stack: Any, model: InferenceModel) -> None:
    job = make(stack, model)
    assert resources(synthesize(stack), f"{JOB}_iam_member") == []
    job.grant_run("Nightly", "group:data@example.org")
    (grant,) = resources(synthesize(stack), f"{JOB}_iam_member")
    assert (grant["role"], grant["member"]) == ("roles/run.invoker", "group:data@example.org")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"image": "scale:latest"}, "image is 'scale:latest'; a tag can be moved"),
        ({"input": "gs://requests"}, "input is 'gs://requests'; it is the URI of a folder"),
        ({"output": "gs://answers/today"}, "output is 'gs://answers/today'"),
        ({"output": f"{INPUT}results/"}, f"output is '{INPUT}results/', in the input"),
        ({"output": INPUT}, f"output is '{INPUT}', in the input"),
        ({"model_uri": "gs://models"}, "model_source is 'gs://models'"),
        ({"memory": "128Mi"}, "memory is 128 MiB"),
        ({"cpu": 3}, "cpu is 3; Cloud Run has instances of"),
        ({"gpu": Gpu.L4, "region": "europe-west9"}, "region is 'europe-west9'"),
        ({"tasks": BatchTasks(0, parallelism=1)}, "tasks.count is 0 tasks; Cloud Run allows 1"),
        ({"tasks": BatchTasks(10_001)}, "tasks.count is 10001 tasks"),
        ({"tasks": BatchTasks(2, parallelism=3)}, "tasks.parallelism is 3 of 2"),
        ({"tasks": BatchTasks(retries=11)}, "tasks.retries is 11 retries; Cloud Run allows 0"),
        ({"tasks": BatchTasks(timeout=timedelta(days=8))}, "tasks.timeout is 691200 seconds"),
        (
            {"tasks": BatchTasks(timeout=timedelta(hours=2)), "gpu": Gpu.L4},
            "tasks.timeout is 7200 seconds; Cloud Run with a GPU allows 1 to 3600",
        ),
        ({"environment": {"INFERENCE_BATCH_INPUT": "x"}}, "environment sets INFERENCE_BATCH_INPUT"),
        ({"environment": {"CLOUD_RUN_TASK_INDEX": "1"}}, "environment sets CLOUD_RUN_TASK_INDEX"),
        ({"labels": {"Team": "data"}}, "labels has 'Team': 'data'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(
    stack: Any, model: InferenceModel, options: dict[str, Any], problem: str
) -> None:
    found = refusals(CloudRunBatchJob, stack, **given(model, **options))
    assert found[0].startswith(problem)


def test_a_bucket_has_nothing_beside_it(stack: Any, model: InferenceModel) -> None:
    (found,) = refusals(CloudRunBatchJob, stack, **given(model, input="gs://requests/"))
    assert found.startswith("input is 'gs://requests/', a whole bucket; there is no folder beside")


def test_what_only_the_deployment_knows_is_not_checked(
    bindings: Bindings, stack: Any, model: InferenceModel
) -> None:
    core = bindings.core
    text = core.TerraformVariable(stack, "Text", type="string").string_value
    number = core.TerraformVariable(stack, "Number", type="number").number_value
    tasks = BatchTasks(number, parallelism=number, retries=number)
    job = make(stack, model, image=text, input=f"gs://{text}/in/", tasks=tasks)
    assert job.output.endswith("/in-results/")
    assert template(stack)["task_count"] == "${var.Number}"
    folder = "projects/_/buckets/${var.Text}/objects/in-results/"
    assert ("${var.Text}", "roles/storage.objectUser", f'resource.name.startsWith("{folder}")') in (
        grants(stack)
    )


def test_construct_ids_are_public(stack: Any, model: InferenceModel) -> None:
    job = make(stack, model, model_uri="gs://my-models/scale.onnx", output="gs://answers/")
    assert construct_ids(job) == [
        "ServiceAccount",
        "BucketAccess0",
        "Reads0",
        "Reads1",
        "Writes",
        "Job",
        "Execute",
    ]


def test_what_is_deployed_answers_a_bucket(
    stack: Any, model: InferenceModel, tmp_path: Path
) -> None:
    """Each task with the command and the variables of the document, as Cloud Run starts it."""
    make(stack, model, tasks=BatchTasks(3))
    baked = tmp_path / "models" / "scale" / "model.onnx"
    baked.parent.mkdir(parents=True)
    shutil.copyfile(save(scale_model(), tmp_path / "scale.onnx"), baked)
    with GcsServer() as server:
        for index in range(6):
            request = json.dumps({"features": [index] * 4})
            server.put(f"my-requests/today/{index}.jsonl", request.encode())
        for index in range(3):
            subprocess.run(
                [sys.executable, *container(stack)["command"][1:]],
                cwd=tmp_path,
                env={
                    **os.environ,
                    **environment(stack),
                    "STORAGE_EMULATOR_HOST": server.url,
                    "CLOUD_RUN_TASK_INDEX": str(index),
                    "CLOUD_RUN_TASK_COUNT": str(template(stack)["task_count"]),
                    "CLOUD_RUN_EXECUTION": "scale-1",
                },
                check=True,
            )
        manifest = server.content("my-requests/today-results/manifest.json")
    assert (manifest["records"], manifest["failed"], manifest["unfinished"]) == (6, 0, 0)
