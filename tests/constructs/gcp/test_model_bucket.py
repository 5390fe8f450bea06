from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cdk_inference import ConfigurationError, InferenceModel
from cdk_inference.gcp import CloudRunService, ModelBucket, ModelSource
from cdk_inference.gcp.model_bucket import check_soft_delete
from cdk_inference.validation import Problems
from hypothesis import given
from hypothesis import strategies as st
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
from tests.constructs.onnx_models import save_external, scale_model

BUCKET = "google_storage_bucket"
OBJECT = "google_storage_bucket_object"
KEY = f"projects/p/locations/{REGION}/keyRings/r/cryptoKeys/k"


def make(stack: Any, **options: Any) -> ModelBucket:
    return ModelBucket(stack, "Models", region=REGION, **options)


def refused(stack: Any, **options: Any) -> tuple[str, ...]:
    return refusals(ModelBucket, stack, **{"region": REGION, **options})


def test_minimal_document(snapshot: SnapshotAssertion) -> None:
    assert same_on_both(make) == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    def make_maximal(stack: Any) -> None:
        models = make(
            stack,
            versioning=False,
            kms_key=KEY,
            soft_delete=timedelta(days=90),
            labels={"team": "data"},
        )
        models.put(model)
        models.grant_read("Training", "group:training@example.org")

    assert same_on_both(make_maximal) == snapshot(extension_class=JSONSnapshotExtension)


def test_it_is_safe_unasked(stack: Any) -> None:
    make(stack)
    bucket = only_resource(stack, BUCKET)
    assert bucket["uniform_bucket_level_access"] is True
    assert bucket["public_access_prevention"] == "enforced"
    assert bucket["versioning"] == {"enabled": True}
    assert bucket["soft_delete_policy"] == {"retention_duration_seconds": 7 * 24 * 3600}
    assert "force_destroy" not in bucket
    assert f"{BUCKET}_iam_member" not in synthesize(stack)["resource"]


def test_what_would_cost_for_ever_ends(stack: Any) -> None:
    make(stack)
    abandoned, replaced = only_resource(stack, BUCKET)["lifecycle_rule"]
    assert abandoned == {
        "action": {"type": "AbortIncompleteMultipartUpload"},
        "condition": {"age": 7},
    }
    assert replaced["condition"] == {"days_since_noncurrent_time": 90, "with_state": "ARCHIVED"}


def test_cloud_storage_may_use_the_key_before_the_bucket_needs_it(stack: Any) -> None:
    make(stack, kms_key=KEY)
    bucket = only_resource(stack, BUCKET)
    assert bucket["encryption"] == {"default_kms_key_name": KEY}
    grant = only_resource(stack, "google_kms_crypto_key_iam_member")
    assert (grant["crypto_key_id"], grant["role"]) == (
        KEY,
        "roles/cloudkms.cryptoKeyEncrypterDecrypter",
    )
    assert grant["member"].startswith("${data.google_storage_project_service_account.")
    (needed,) = bucket["depends_on"]
    assert needed.startswith("google_kms_crypto_key_iam_member.")


def test_it_grants_reading_and_nothing_else(stack: Any) -> None:
    make(stack).grant_read("Training", "group:training@example.org")
    grant = only_resource(stack, f"{BUCKET}_iam_member")
    assert (grant["role"], grant["member"]) == (
        "roles/storage.objectViewer",
        "group:training@example.org",
    )


def test_a_model_is_uploaded_once_to_where_its_uri_says(stack: Any, model: InferenceModel) -> None:
    models = make(stack)
    uris = [models.put(model), models.put(model)]
    assert uris[0] == uris[1]
    uploaded = only_resource(stack, OBJECT)
    assert uploaded["name"] == "scale/1/model.onnx"
    assert uris[0].endswith("/scale/1/model.onnx")
    assert not uploaded["source"].startswith("/")


def test_external_data_is_there_before_the_model(stack: Any, tmp_path: Any) -> None:
    path = save_external(scale_model(), tmp_path / "scale.onnx")
    make(stack).put(InferenceModel.from_file(path, version="1"))
    by_name = {one["name"].rpartition("/")[2]: one for one in resources(synthesize(stack), OBJECT)}
    assert by_name.keys() == {"model.onnx", "weights.bin"}
    (needed,) = by_name["model.onnx"]["depends_on"]
    assert "weightsbin" in needed
    assert "depends_on" not in by_name["weights.bin"]


def test_a_service_of_it_may_read_and_waits_for_the_upload(
    stack: Any, model: InferenceModel
) -> None:
    source = ModelSource.bucket(make(stack).put(model))
    CloudRunService(stack, "Scale", model=model, image=IMAGE, region=REGION, model_source=source)
    bucket_of_the_object = f"${{{OBJECT}."
    assert only_resource(stack, f"{BUCKET}_iam_member")["bucket"].startswith(bucket_of_the_object)
    (container,) = only_resource(stack, "google_cloud_run_v2_service")["template"]["containers"]
    uris = {one["name"]: one["value"] for one in container["env"]}["MODEL_URI"]
    assert uris.startswith(f"gs://{bucket_of_the_object}")
    assert uris.endswith(".bucket}/scale/1/model.onnx")


def test_two_models_of_one_name_and_version_are_refused(
    stack: Any, model: InferenceModel, digits_under_the_same_name: InferenceModel
) -> None:
    models = make(stack)
    models.put(model)
    with pytest.raises(ConfigurationError, match="two models are called 'scale' in version '1'"):
        models.put(digits_under_the_same_name)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"kms_key": "mine"}, "kms_key is 'mine'; it is the name of a key of Cloud KMS"),
        (
            {"kms_key": KEY, "region": "us-east4"},
            f"kms_key is in {REGION}, and region is 'us-east4'; Cloud Storage takes a key of the"
            " bucket's own location",
        ),
        (
            {"soft_delete": timedelta(days=6)},
            "soft_delete is 6 days; Cloud Storage allows 7 to 90 in whole days",
        ),
    ],
)
def test_what_cannot_work_is_refused(stack: Any, options: dict[str, Any], problem: str) -> None:
    (found,) = refused(stack, **options)
    assert found.startswith(problem)


def test_all_problems_come_at_once(stack: Any) -> None:
    options = {"kms_key": "mine", "soft_delete": timedelta(hours=1), "labels": {"A": ""}}
    assert len(refused(stack, **options)) == 3


@given(days=st.integers(7, 90) | st.just(0))
def test_any_soft_delete_within_the_limits_is_taken(days: int) -> None:
    problems = Problems("Models")
    check_soft_delete(timedelta(days=days), problems)
    problems.raise_if_any()


def test_its_ids_stay(stack: Any, model: InferenceModel) -> None:
    models = make(stack, kms_key=KEY)
    models.put(model)
    assert construct_ids(models) == [
        "Client",
        "CloudStorage",
        "KeyAccess",
        "Bucket",
        "File-scale-1-model.onnx",
        "Object-scale-1-model.onnx",
    ]
