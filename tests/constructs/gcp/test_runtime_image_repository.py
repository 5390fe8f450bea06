from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
from cdk_inference import InferenceModel
from cdk_inference.cuda import CUDA_IMAGES
from cdk_inference.gcp import CloudRunService, Gpu, RuntimeImageRepository
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

RUNTIME = ROOT / "runtime"


def make(stack: Any) -> RuntimeImageRepository:
    return RuntimeImageRepository(stack, "Images", region=REGION)


def test_minimal_document(snapshot: SnapshotAssertion) -> None:
    document = same_on_both(make)
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    def make_maximal(stack: Any) -> None:
        images = RuntimeImageRepository(
            stack, "Images", region=REGION, keep=3, labels={"team": "data"}
        )
        images.build("Cpu", model=model)
        images.build("Gpu", model=None, gpu=Gpu.RTX_PRO_6000, base_image="mine/cuda:13")

    assert same_on_both(make_maximal) == snapshot(extension_class=JSONSnapshotExtension)


def test_a_service_gets_an_image_by_its_digest(stack: Any, model: InferenceModel) -> None:
    image = make(stack).build("Scale", model=model)
    CloudRunService(stack, "Scale", model=model, image=image, region=REGION)
    service = only_resource(stack, "google_cloud_run_v2_service")
    (container,) = service["template"]["containers"]
    assert re.fullmatch(
        r"europe-west1-docker\.pkg\.dev/.+/scale@\$\{docker_registry_image\.\w+\.sha256_digest\}",
        container["image"],
    )


def test_old_images_are_removed_but_for_the_newest(stack: Any) -> None:
    make(stack)
    policies = only_resource(stack, "google_artifact_registry_repository")["cleanup_policies"]
    assert [(one["id"], one["action"]) for one in policies] == [
        ("remove-old", "DELETE"),
        ("keep-newest", "KEEP"),
    ]
    assert policies[0]["condition"] == {"tag_state": "ANY", "older_than": "2592000s"}
    assert policies[1]["most_recent_versions"] == {"keep_count": 10}


def test_docker_may_push_to_that_registry_alone(stack: Any, model: InferenceModel) -> None:
    make(stack).build("Scale", model=model)
    document = synthesize(stack)
    (docker,) = document["provider"]["docker"]
    (registry,) = docker["registry_auth"]
    assert registry["address"] == "europe-west1-docker.pkg.dev"
    (image,) = resources(document, "docker_image")
    assert image["provider"] == f"docker.{docker['alias']}"
    assert image["name"].startswith("europe-west1-docker.pkg.dev/")


def test_two_images_share_one_docker_and_two_repositories_do_not(
    stack: Any, model: InferenceModel
) -> None:
    images = make(stack)
    images.build("One", model=model)
    images.build("Two", model=None)
    RuntimeImageRepository(stack, "Others", region="us-east4").build("One", model=model)
    addresses = [
        one["registry_auth"][0]["address"] for one in synthesize(stack)["provider"]["docker"]
    ]
    assert sorted(addresses) == ["europe-west1-docker.pkg.dev", "us-east4-docker.pkg.dev"]


def names(stack: Any) -> list[str]:
    return [one["name"] for one in resources(synthesize(stack), "docker_image")]


def test_other_content_gets_another_name(
    stack: Any, model: InferenceModel, digits_under_the_same_name: InferenceModel
) -> None:
    images = make(stack)
    images.build("One", model=model)
    images.build("Same", model=model)
    images.build("Digits", model=digits_under_the_same_name)
    images.build("OtherBase", model=model, base_image="python:3.14-slim")
    images.build("Gpu", model=model, gpu=Gpu.L4)
    assert len(set(names(stack))) == 4


def test_nothing_to_keep_is_refused(stack: Any) -> None:
    problems = refusals(RuntimeImageRepository, stack, region=REGION, keep=0, labels={"A": ""})
    assert [problem.split(";")[0] for problem in problems] == ["keep is 0", "labels has 'A': ''"]


def test_construct_ids_are_public(stack: Any, model: InferenceModel) -> None:
    images = make(stack)
    images.build("Scale", model=model)
    assert construct_ids(images) == ["Repository", "Client", "Docker", "Scale"]
    assert construct_ids(images.node.find_child("Scale")) == ["Context", "Image", "Pushed"]


# The images themselves


def dockerfile(name: str) -> list[str]:
    return (RUNTIME / "images" / f"{name}.Dockerfile").read_text().splitlines()


@pytest.mark.parametrize("name", ["cloud-run", "cloud-run-gpu"])
def test_the_image_serves_without_root(name: str) -> None:
    lines = dockerfile(name)
    (user,) = (line for line in lines if line.startswith("USER"))
    assert user.split()[1].split(":")[0] not in ("root", "0")
    assert "ENV INFERENCE_HOST=0.0.0.0" in lines  # the server's own default is this machine alone
    (entry_point,) = (line for line in lines if line.startswith("ENTRYPOINT"))
    assert json.loads(entry_point.removeprefix("ENTRYPOINT ")) == [
        "python", "-m", "inference_runtime.cli", "serve",
    ]  # fmt: skip


def test_both_images_have_the_same_design() -> None:
    def steps(name: str) -> list[str]:
        text = "\n".join(dockerfile(name))
        build = text[text.index("WORKDIR /build") :]
        return [line for line in build.splitlines() if not line.startswith(("FROM", "#"))]

    assert steps("cloud-run") == steps("cloud-run-gpu")


@pytest.mark.parametrize("cuda", CUDA_IMAGES)
def test_onnxruntime_is_that_of_the_base_images_cuda(cuda: int) -> None:
    image = CUDA_IMAGES[cuda]
    assert re.match(rf"nvidia/cuda:{cuda}\.\d+\.\d+-cudnn-runtime-", image.base_image)
    extras = tomllib.loads((RUNTIME / "pyproject.toml").read_text())["project"]
    assert extras["optional-dependencies"][f"cuda{cuda}"] == [
        f"onnxruntime-gpu{image.onnxruntime_gpu}"
    ]
    requirements = (RUNTIME / "requirements" / f"{image.requirements}.txt").read_text()
    (version,) = re.findall(r"^onnxruntime-gpu==(\d+\.\d+)", requirements, re.MULTILINE)
    # 1.27 is the first that is built for CUDA 13.
    assert (tuple(map(int, version.split("."))) >= (1, 27)) == (cuda == 13)
    assert not re.search(r"^onnxruntime==", requirements, re.MULTILINE), "the same files twice"


def test_the_default_base_is_that_of_the_first_cuda() -> None:
    assert f"ARG BASE_IMAGE={CUDA_IMAGES[12].base_image}" in dockerfile("cloud-run-gpu")


@pytest.mark.parametrize("gpu", Gpu)
def test_every_gpu_has_an_image(gpu: Gpu) -> None:
    assert gpu.limits.cuda in CUDA_IMAGES


def test_an_image_of_elsewhere_is_copied_and_named_by_its_digest(stack: Any) -> None:
    uri = make(stack).copy("Nginx", "docker.io/library/nginx:1.29-alpine")
    assert "/nginx@" in uri
    (image,) = resources(synthesize(stack), "docker_image")
    assert image["build"]["build_args"] == {"BASE_IMAGE": "docker.io/library/nginx:1.29-alpine"}
    assert image["build"]["platform"] == "linux/amd64"


def test_another_tag_is_built_anew(stack: Any) -> None:
    images = make(stack)
    for tag in ("1.28-alpine", "1.29-alpine"):
        images.copy(f"Nginx{tag[2:4]}", f"nginx:{tag}")
    names = {image["name"] for image in resources(synthesize(stack), "docker_image")}
    assert len(names) == 2
