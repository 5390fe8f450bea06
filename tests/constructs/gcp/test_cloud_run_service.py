from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cdk_inference import ConfigurationError, InferenceModel
from cdk_inference.gcp import (
    Bindings,
    CloudRunService,
    Egress,
    Ingress,
    ModelSource,
    Secret,
    StartupProbe,
    TrafficShare,
    VpcAccess,
)
from cdk_inference.gcp.cloud_run import CloudRun, CloudRunOptions
from cdk_inference.limits import CLOUD_RUN_RESERVED_ENVIRONMENT
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

SERVICE = "google_cloud_run_v2_service"


def make(stack: Any, model: InferenceModel, **options: Any) -> CloudRunService:
    given: dict[str, Any] = {"model": model, "image": IMAGE, "region": REGION, **options}
    return CloudRunService(stack, "Scale", **given)


def refused(stack: Any, model: InferenceModel, **options: Any) -> tuple[str, ...]:
    given = {"model": model, "image": IMAGE, "region": REGION, **options}
    return refusals(CloudRunService, stack, **given)


def template(stack: Any) -> dict[str, Any]:
    found: dict[str, Any] = only_resource(stack, SERVICE)["template"]
    return found


def container(stack: Any) -> dict[str, Any]:
    (only,) = template(stack)["containers"]
    return dict(only)


def environment(stack: Any) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(stack)["env"] if "value" in one}


def test_minimal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    document = same_on_both(lambda stack: make(stack, model))
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def make_maximal(stack: Any, model: InferenceModel) -> None:
    service = make(
        stack,
        model,
        cpu=4,
        memory="4Gi",
        cpu_idle=False,
        max_instances=20,
        name="scale",
        model_source=ModelSource.bucket("gs://my-models/scale/model.onnx"),
        environment={"INFERENCE_THREADS": "1"},
        secrets={"API_KEY": Secret("api-key", "3")},
        min_instances=2,
        concurrency=30,
        timeout=timedelta(minutes=5),
        startup_probe=StartupProbe(period=5, failures=40),
        ingress=Ingress.INTERNAL_AND_LOAD_BALANCER,
        vpc=VpcAccess("shop", "shop-west", Egress.ALL_TRAFFIC, tags=("scale",)),
        labels={"team": "data"},
        traffic=[TrafficShare(90, revision="scale-00001-abc"), TrafficShare(10, tag="next")],
        custom_audiences=["https://scale.example.org"],
        deletion_protection=False,
        port=9000,
    )
    service.grant_invoke("Shop", "serviceAccount:shop@my-project.iam.gserviceaccount.com")
    service.allow_unauthenticated()


def test_maximal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    document = same_on_both(lambda stack: make_maximal(stack, model))
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def test_the_options_are_those_of_the_shared_class() -> None:
    own = {"self", "scope", "id", "machine", "volumes", "machine_environment"}
    shared = {"model", "image", "region", "max_instances"}
    parameters = set(inspect.signature(CloudRun.__init__).parameters)
    assert parameters - own - shared == set(CloudRunOptions.__annotations__)


def test_it_scales_to_zero_and_its_cpus_idle(stack: Any, model: InferenceModel) -> None:
    make(stack, model)
    assert template(stack)["scaling"] == {"min_instance_count": 0, "max_instance_count": 10}
    assert container(stack)["resources"] == {
        "limits": {"cpu": "1", "memory": "512Mi"},
        "cpu_idle": True,
        "startup_cpu_boost": True,
    }
    assert template(stack)["execution_environment"] == "EXECUTION_ENVIRONMENT_GEN2"
    assert "node_selector" not in template(stack)
    assert "gpu_zonal_redundancy_disabled" not in template(stack)


def test_the_environment_is_the_contract_and_the_users_own(
    stack: Any, model: InferenceModel
) -> None:
    make(stack, model, environment={"INFERENCE_MAX_QUEUE": "7", "MINE": "1"})
    assert environment(stack) == {
        "INFERENCE_MAX_QUEUE": "7",
        "INFERENCE_MAX_REQUEST_BYTES": "33554432",
        "INFERENCE_TIMEOUT_SECONDS": "60",
        "MINE": "1",
        "MODEL_NAME": "scale",
        "MODEL_VERSION": "1",
        "MODEL_URI": "models/scale/model.onnx",
    }


def test_the_probes_ask_the_runtimes_own_endpoints(stack: Any, model: InferenceModel) -> None:
    make(stack, replace(model, size_bytes=500 * 2**20))
    startup = container(stack)["startup_probe"]
    assert startup["http_get"] == {"path": "/v2/health/ready"}
    assert startup["timeout_seconds"] <= startup["period_seconds"]
    assert startup["period_seconds"] * startup["failure_threshold"] == 50
    assert container(stack)["liveness_probe"]["http_get"] == {"path": "/v2/health/live"}


def test_its_account_may_do_nothing(stack: Any, model: InferenceModel) -> None:
    make(stack, model)
    types = set(synthesize(stack)["resource"])
    assert types == {SERVICE, "google_service_account"}


def test_nobody_may_call_it_unasked(stack: Any, model: InferenceModel) -> None:
    service = make(stack, model)
    service.grant_invoke("Shop", "group:shop@example.org")
    (grant,) = resources(synthesize(stack), f"{SERVICE}_iam_member")
    assert (grant["role"], grant["member"]) == ("roles/run.invoker", "group:shop@example.org")


def test_everyone_may_call_it_when_asked_by_name(stack: Any, model: InferenceModel) -> None:
    make(stack, model).allow_unauthenticated()
    (grant,) = resources(synthesize(stack), f"{SERVICE}_iam_member")
    assert (grant["role"], grant["member"]) == ("roles/run.invoker", "allUsers")


def test_a_model_in_a_bucket_is_fetched_and_checked(stack: Any, model: InferenceModel) -> None:
    large = replace(model, size_bytes=1000 * 2**20)
    make(stack, large, model_source=ModelSource.bucket("gs://my-models/scale.onnx"))
    variables = environment(stack)
    assert variables["MODEL_URI"] == "gs://my-models/scale.onnx"
    assert variables["MODEL_SHA256"] == model.sha256
    (volume,) = template(stack)["volumes"]
    assert volume["empty_dir"] == {"medium": "MEMORY", "size_limit": "1016Mi"}
    (mount,) = container(stack)["volume_mounts"]
    assert variables["INFERENCE_CACHE_DIR"] == mount["mount_path"]
    # 3.5 times the model, 256 MB, and the file itself.
    assert container(stack)["resources"]["limits"] == {"cpu": "2", "memory": "5Gi"}
    (grant,) = resources(synthesize(stack), "google_storage_bucket_iam_member")
    assert (grant["bucket"], grant["role"]) == ("my-models", "roles/storage.objectViewer")
    assert len(only_resource(stack, SERVICE)["depends_on"]) == 1


def test_secrets_are_read_by_its_account_alone(stack: Any, model: InferenceModel) -> None:
    secrets = {"KEY": Secret("key", "1"), "OLD_KEY": Secret("key", "2"), "OTHER": Secret("b", "1")}
    make(stack, model, secrets=secrets)
    grants = resources(synthesize(stack), "google_secret_manager_secret_iam_member")
    assert sorted(grant["secret_id"] for grant in grants) == ["b", "key"]
    assert {grant["role"] for grant in grants} == {"roles/secretmanager.secretAccessor"}
    sources = [one["value_source"] for one in container(stack)["env"] if "value_source" in one]
    assert {"secret_key_ref": {"secret": "key", "version": "2"}} in sources
    assert len(sources) == 3


def test_it_is_protected_from_deletion(stack: Any, model: InferenceModel) -> None:
    make(stack, model)
    assert only_resource(stack, SERVICE)["deletion_protection"] is True


def test_names_differ_by_place(stack: Any, model: InferenceModel) -> None:
    for name in ("One", "Two"):
        CloudRunService(stack, name, model=model, image=IMAGE, region=REGION)
    services = resources(synthesize(stack), SERVICE)
    accounts = resources(synthesize(stack), "google_service_account")
    assert len({one["name"] for one in services}) == 2
    assert len({one["account_id"] for one in accounts}) == 2
    assert all(len(one["account_id"]) <= 30 for one in accounts)


def test_construct_ids_are_public(stack: Any, model: InferenceModel) -> None:
    service = make(
        stack,
        model,
        model_source=ModelSource.bucket("gs://a/b.onnx"),
        secrets={"KEY": Secret("key", "1")},
    )
    service.allow_unauthenticated()
    assert construct_ids(service) == [
        "ServiceAccount",
        "SecretAccessKEY",
        "BucketAccess0",
        "Service",
        "Url",
        "Everyone",
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"image": "models/scale:latest"}, "image is 'models/scale:latest'; a tag can be moved"),
        ({"image": "models/scale@sha256:12"}, "image is 'models/scale@sha256:12'"),
        ({"cpu": 3}, "cpu is 3; Cloud Run has instances of 1, 2, 4, 6, 8 vCPUs"),
        ({"memory": "4GB"}, "memory is '4GB'; it is a whole number of Mi or Gi"),
        ({"memory": "256Mi"}, "memory is 256 MiB"),
        ({"cpu": 1, "memory": "8Gi"}, "memory is 8Gi with cpu 1; Cloud Run allows 0 to 4 GiB"),
        ({"cpu": 8, "memory": "1Gi"}, "memory is 1Gi with cpu 8; Cloud Run allows 4 to 32 GiB"),
        ({"memory": "64Gi"}, "memory is 64Gi with cpu 8"),
        ({"name": "Scale"}, "name is 'Scale'"),
        ({"name": "s" * 50}, "name is 'sss"),
        ({"min_instances": -1}, "min_instances is -1"),
        ({"min_instances": 11}, "min_instances is 11 and max_instances 10"),
        ({"max_instances": 0}, "min_instances is 0 and max_instances 0"),
        ({"concurrency": 0}, "concurrency is 0 requests; Cloud Run allows 1 to 1000"),
        ({"concurrency": 1001}, "concurrency is 1001 requests"),
        ({"timeout": timedelta(hours=2)}, "timeout is 7200 seconds; Cloud Run allows 1 to 3600"),
        ({"timeout": timedelta(seconds=1.5)}, "timeout is 1.5 seconds"),
        ({"startup_probe": StartupProbe(5, 60)}, "startup_probe waits 300 seconds"),
        ({"startup_probe": StartupProbe(0, 60)}, "startup_probe has period 0"),
        ({"traffic": [TrafficShare(90)]}, "traffic is shared as 90 percent"),
        ({"traffic": [TrafficShare(120), TrafficShare(-20)]}, "traffic is shared as 120 + -20"),
        (
            {"traffic": [TrafficShare(90, tag="next"), TrafficShare(10, "r-1", tag="next")]},
            "traffic has the tag 'next' 2 times; a tag is of one share",
        ),
        ({"traffic": [TrafficShare(100, tag="1ae9f28")]}, "traffic has the tag '1ae9f28' 1 times"),
        ({"labels": {"Team": "shop"}}, "labels has 'Team': 'shop'; Google Cloud takes letters"),
        ({"labels": {"1st": "shop"}}, "labels has '1st': 'shop'"),
        ({"labels": {"team": "shop.example"}}, "labels has 'team': 'shop.example'"),
        ({"labels": {"team": "s" * 64}}, "labels has 'team': 'sss"),
        ({"labels": {f"l{n}": "" for n in range(65)}}, "there are 65 labels"),
        ({"model_source": ModelSource.bucket("s3://a/b")}, "model_source is 's3://a/b'"),
        ({"model_source": ModelSource.bucket("gs://a")}, "model_source is 'gs://a'"),
        ({"environment": {"MODEL_NAME": "x"}}, "environment sets MODEL_NAME"),
        ({"secrets": {"MODEL_URI": Secret("a", "1")}}, "environment sets MODEL_URI"),
        (
            {"environment": {"KEY": "a"}, "secrets": {"KEY": Secret("a", "1")}},
            "environment and secrets both set KEY; a variable has one value",
        ),
        ({"environment": {"A=B": "c"}}, "environment sets 'A=B'; a variable has a name"),
        ({"environment": {"": "c"}}, "environment sets ''"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cloud_run_does_not_allow_is_refused(
    stack: Any, model: InferenceModel, options: dict[str, Any], problem: str
) -> None:
    (found,) = refused(stack, model, **options)
    assert found.startswith(problem)


@pytest.mark.parametrize("name", [*sorted(CLOUD_RUN_RESERVED_ENVIRONMENT), "X_GOOGLE_ZONE"])
def test_variables_of_cloud_run_are_refused(stack: Any, model: InferenceModel, name: str) -> None:
    (found,) = refused(stack, model, environment={name: "mine"})
    assert found.startswith(f"environment sets {name}; Cloud Run reserves")


def test_all_problems_come_at_once(stack: Any, model: InferenceModel) -> None:
    problems = refused(
        stack,
        model,
        image="scale",
        cpu=5,
        concurrency=0,
        timeout=timedelta(0),
        environment={"PORT": "1"},
        traffic=[TrafficShare(1)],
    )
    assert len(problems) == 6


def test_a_model_that_does_not_fit_is_refused(stack: Any, model: InferenceModel) -> None:
    large = replace(model, size_bytes=600 * 2**20)
    (found,) = refused(stack, large, memory="600Mi")
    assert "a model of 600 MB need 664 at least; leave it out, or start from 3Gi" in found


def test_what_only_the_deployment_knows_is_not_checked(
    bindings: Bindings, stack: Any, model: InferenceModel
) -> None:
    core = bindings.core
    text = core.TerraformVariable(stack, "Text", type="string").string_value
    number = core.TerraformVariable(stack, "Number", type="number").number_value
    make(
        stack,
        model,
        image=text,
        name=text,
        region=text,
        min_instances=number,
        concurrency=number,
        labels={"team": text},
        traffic=[TrafficShare(number, tag=text), TrafficShare(number, tag=text)],
    )
    assert template(stack)["containers"][0]["image"] == "${var.Text}"
    assert template(stack)["max_instance_request_concurrency"] == "${var.Number}"


def test_what_synth_itself_computes_with_must_be_known(
    bindings: Bindings, stack: Any, model: InferenceModel
) -> None:
    core = bindings.core
    text = core.TerraformVariable(stack, "Text", type="string").string_value
    number = core.TerraformVariable(stack, "Number", type="number").number_value
    problems = refused(stack, model, cpu=number, memory=text, concurrency=8)
    assert [problem.split(";")[0] for problem in problems] == [
        "cpu is known only when the app is deployed",
        "memory is known only when the app is deployed",
    ]


def test_labels_may_have_letters_of_any_language(stack: Any, model: InferenceModel) -> None:
    labels = {"straße_1": "größe-2", "地域": ""}
    make(stack, model, labels=labels)
    assert only_resource(stack, "google_cloud_run_v2_service")["labels"] == labels


def test_a_stack_of_another_kind_is_refused(model: InferenceModel) -> None:
    from tests.constructs.synthesis import new_stack as new_aws_stack

    with pytest.raises(ConfigurationError, match="it is in no Terraform stack"):
        make(new_aws_stack(), model)
