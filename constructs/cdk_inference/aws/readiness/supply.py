"""Whether what runs is what was meant to: images and models by their digests, and scanned."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.aws.readiness.rule import Finding, Rule, Severity
from cdk_inference.contract import MODEL_SHA256, MODEL_URI

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdk_inference.aws.readiness.application import Application

# By its own digest, or by the tag that the CDK makes of its sources' digest.
_PINNED: Final = re.compile(r"@sha256:[0-9a-f]{64}|:[0-9a-f]{64}\b")
_FROM: Final = re.compile(r"(?im)^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?")
_ARGUMENT: Final = re.compile(r"(?im)^ARG\s+(\w+)=(\S+)")
_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")


def _image_digests(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        image = function.get("Code.ImageUri")
        if image is None:
            continue
        text = json.dumps(image)
        if not _PINNED.search(text):
            yield Finding(
                function, "Properties/Code/ImageUri", "runs an image by a tag that may move"
            )
        elif (asset := app.docker_asset(text)) is not None:
            folder = function.template.parent / str(asset.get("directory", ""))
            for base in _unpinned_bases(folder, asset):
                yield Finding(
                    function,
                    "Properties/Code/ImageUri",
                    f"is built on {base}, a tag that may move",
                )


def _unpinned_bases(folder: Path, asset: Mapping[str, Any]) -> list[str]:
    dockerfile = folder / str(asset.get("dockerFile", "Dockerfile"))
    if not dockerfile.is_file():
        return []
    text = dockerfile.read_text()
    values = {**dict(_ARGUMENT.findall(text)), **asset.get("dockerBuildArgs", {})}
    stages = {stage for _, stage in _FROM.findall(text) if stage}
    bases = (
        _VARIABLE.sub(lambda match: str(values.get(match[1], match[0])), base)
        for base, _ in _FROM.findall(text)
    )
    return [
        b for b in dict.fromkeys(bases) if b not in {*stages, "scratch"} and "@sha256:" not in b
    ]


def _image_scan(app: Application) -> Iterator[Finding]:
    scans_all = bool(app.of_type("AWS::ECR::RegistryScanningConfiguration"))
    for repository in app.of_type("AWS::ECR::Repository"):
        if not scans_all and not repository.get("ImageScanningConfiguration.ScanOnPush"):
            yield Finding(
                repository, "Properties/ImageScanningConfiguration", "does not scan its images"
            )
    for function in app.serving:
        image = function.get("Code.ImageUri")
        if image is not None and not scans_all and not app.mentioned(function, "Code.ImageUri"):
            yield Finding(
                function,
                "Properties/Code/ImageUri",
                "has its image in a repository that is not of this app, nor is scanning",
            )


def _model_digest(app: Application) -> Iterator[Finding]:
    for function in app.serving:
        uri = function.get(f"Environment.Variables.{MODEL_URI}")
        is_packaged = isinstance(uri, str) and "://" not in uri and not uri.startswith("/")
        if not is_packaged and not function.get(f"Environment.Variables.{MODEL_SHA256}"):
            yield Finding(
                function,
                f"Properties/Environment/Variables/{MODEL_SHA256}",
                "serves whatever is at its model's address when it starts",
            )


RULES: Final = (
    Rule(
        "ImageDigest",
        Severity.ERROR,
        "An image, and what it is built on, is named by its digest",
        "name it with @sha256:…; for MLInferenceFunction, give base_image that way",
        _image_digests,
    ),
    Rule(
        "ImageScan",
        Severity.WARNING,
        "Images are scanned for known vulnerabilities",
        "turn on scanning for the registry (AWS::ECR::RegistryScanningConfiguration) or the"
        " repository (ScanOnPush)",
        _image_scan,
    ),
    Rule(
        "ModelDigest",
        Severity.ERROR,
        "A model is pinned by its digest",
        "deploy an InferenceModel, or give StoredModel.at its sha256",
        _model_digest,
    ),
)
