"""The check against the providers' own schemas finds what is wrong, and nothing else."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cdk_inference import InferenceModel
from cdk_inference.gcp import (
    Bindings,
    CloudRunGpuService,
    ModelSource,
    RuntimeImageRepository,
    Secret,
    VpcAccess,
)
from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.schema import check_document
from cdk_inference.gcp.testing import document, schema_problems, stable_document

from tests.constructs.gcp.terraform import REGION, new_stack

SERVICE = "google_cloud_run_v2_service"


@pytest.fixture
def complete(stack: Any, model: InferenceModel) -> Any:
    """A stack with a resource of every kind."""
    images = RuntimeImageRepository(stack, "Images", region=REGION)
    service = CloudRunGpuService(
        stack,
        "Scale",
        model=model,
        image=images.build("Scale", model=model),
        region=REGION,
        model_source=ModelSource.bucket("gs://a/b.onnx"),
        secrets={"KEY": Secret("key", "1")},
        vpc=VpcAccess("n", "s"),
    )
    service.allow_unauthenticated()
    return stack


def test_nothing_is_wrong_with_what_the_constructs_make(complete: Any) -> None:
    assert schema_problems(complete) == []


def edit(values: dict[str, Any], path: str, value: Any) -> None:
    *parts, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parts:
        values = values[part]  # type: ignore[index]
    values[last] = value  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("location", 1, ".location is 1, and takes a string"),
        ("locaton", "x", ": locaton is not known"),
        ("deletion_protection", "yes", ".deletion_protection is 'yes', and takes a boolean"),
        ("labels", {"a": 1}, ".labels['a'] is 1, and takes a string"),
        ("labels", [], ".labels is [], and takes a map"),
        ("custom_audiences", "a", ".custom_audiences is 'a', and takes a list"),
        ("custom_audiences", [1], ".custom_audiences[0] is 1, and takes a string"),
        ("template.timeout", True, ".template.timeout is True, and takes a string"),
        ("template.scaling", "small", ".template.scaling is 'small', and takes a block"),
        ("template.scaling.least", 1, ".template.scaling: least is not known"),
        (
            "template.max_instance_request_concurrency",
            True,
            ".template.max_instance_request_concurrency is True, and takes a number",
        ),
        (
            "template.node_selector",
            {},
            ".template.node_selector: accelerator is required",
        ),
        (
            "template.containers.0.ports.container_port",
            "8080",
            ".template.containers[0].ports.container_port is '8080', and takes a number",
        ),
        (
            "template.vpc_access",
            [{}, {}],
            ".template.vpc_access is there 2 times, and only once allowed",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_is_found(complete: Any, path: str, value: Any, fault: str) -> None:
    broken = document(complete)
    ((name, values),) = broken["resource"][SERVICE].items()
    edit(values, path, value)
    assert check_document(broken, bindings_of(complete)) == [f"{SERVICE}.{name}{fault}"]


def test_what_is_required_is_missed(complete: Any) -> None:
    broken = document(complete)
    ((name, values),) = broken["resource"][SERVICE].items()
    del values["template"]
    found = check_document(broken, bindings_of(complete))
    assert found == [f"{SERVICE}.{name}: template is required"]


def test_references_must_lead_somewhere(complete: Any) -> None:
    broken = document(complete)
    ((name, values),) = broken["resource"][SERVICE].items()
    values["name"] = "${google_service_account.Nobody.email}"
    values["template"]["service_account"] = f"${{{SERVICE}.{name}.urn}}"
    assert sorted(check_document(broken, bindings_of(complete))) == [
        f"{SERVICE}.{name} is asked for urn, which it has not",
        "google_service_account.Nobody is referred to, and is not there",
    ]


def test_tokens_are_not_judged(complete: Any) -> None:
    fine = document(complete)
    ((_, values),) = fine["resource"][SERVICE].items()
    values["deletion_protection"] = "${var.protected}"
    values["template"]["scaling"] = "${var.scaling}"
    assert check_document(fine, bindings_of(complete)) == []


def test_a_newer_attribute_is_unknown_to_the_older_provider() -> None:
    def with_mount_options(bindings: Bindings) -> list[str]:
        volumes = [{"name": "a", "gcs": {"bucket": "b", "mount_options": ["uid=1"]}}]
        template = {"containers": [{"image": "x"}], "volumes": volumes}
        service = {"name": "a", "location": "b", "template": template}
        return check_document({"resource": {SERVICE: {"A": service}}}, bindings)

    assert with_mount_options(Bindings.CDKTN) == []
    assert with_mount_options(Bindings.CDKTF) == [
        f"{SERVICE}.A.template.volumes[0].gcs: mount_options is not known"
    ]


def test_what_no_provider_has_is_told(bindings: Bindings) -> None:
    unknown = {
        "resource": {"google_teleporter": {"A": {}}, "random_id": {"B": {}}},
        "data": {"google_nothing": {"C": {}}},
        "provider": {"random": [{}], "google": [{"projekt": "x"}]},
    }
    name = bindings.value
    assert sorted(check_document(unknown, bindings)) == [
        f"data.google_nothing.C: no installed provider of {name} has google_nothing",
        f"google_teleporter.A: no installed provider of {name} has google_teleporter",
        "provider google: projekt is not known",
        f"provider random: its package for {name} is not installed",
        f"random_id.B: no installed provider of {name} has random_id",
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(lifecycle={"prevent_destroy": True}),
        lambda values: values.update(count=2, depends_on=["a.b"]),
        lambda values: values.update(provider="google.other"),
    ],
)
def test_meta_arguments_are_everybodys(
    complete: Any, change: Callable[[dict[str, Any]], None]
) -> None:
    fine = document(complete)
    ((_, values),) = fine["resource"][SERVICE].items()
    change(values)
    assert check_document(fine, bindings_of(complete)) == []


# Snapshots


def test_a_document_is_the_same_for_other_content(
    bindings: Bindings, model: InferenceModel, digits_under_the_same_name: InferenceModel
) -> None:
    def stable(content: InferenceModel) -> dict[str, Any]:
        stack = new_stack(bindings)
        images = RuntimeImageRepository(stack, "Images", region=REGION)
        images.build("Scale", model=content)
        return stable_document(stack)

    assert stable(model) == stable(digits_under_the_same_name)


def test_what_is_stable_is_the_rest(complete: Any) -> None:
    stable = stable_document(complete)
    plain = copy.deepcopy(document(complete))
    assert stable["resource"].keys() == plain["resource"].keys()
    assert "backend" not in stable["terraform"]
    versions = {one["version"] for one in stable["terraform"]["required_providers"].values()}
    assert versions == {"<version>"}


# Terraform itself, as far as it comes without its providers.


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("terraform") is None:
        pytest.skip("there is no terraform here")
    return subprocess.run(
        ["terraform", *arguments], cwd=folder, check=False, stdout=subprocess.PIPE, text=True
    )


def errors(folder: Path) -> set[str]:
    found = json.loads(terraform(folder, "validate", "-json").stdout)["diagnostics"]
    return {one["summary"] for one in found if one["severity"] == "error"}


def test_terraform_misses_nothing_but_the_providers(complete: Any, tmp_path: Path) -> None:
    (tmp_path / "cdk.tf.json").write_text(json.dumps(document(complete)))
    assert errors(tmp_path) == {"Missing required provider"}


def test_terraform_reads_and_formats_it_in_its_own_language(complete: Any, tmp_path: Path) -> None:
    # `terraform fmt` leaves JSON alone.
    text = bindings_of(complete).core.Testing.synth_hcl(complete, True)
    (tmp_path / "main.tf").write_text(text)
    formatted = terraform(tmp_path, "fmt")
    assert (formatted.returncode, formatted.stdout.split()) == (0, ["main.tf"])
    assert terraform(tmp_path, "fmt", "-check").returncode == 0
    assert errors(tmp_path) == {"Missing required provider"}
