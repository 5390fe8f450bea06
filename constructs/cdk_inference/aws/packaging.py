"""A model and the runtime as the code of a Lambda function."""

from __future__ import annotations

import platform as host_platform
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_

from cdk_inference import context
from cdk_inference.archive import digest
from cdk_inference.artifact import (
    code_archive,
    dependencies_archive,
    extension_archive,
    image_context,
    model_archive,
)
from cdk_inference.aws.model_cache_extension import ModelCacheExtension
from cdk_inference.contract import (
    AWS_LAMBDA_HANDLER,
    ENGINE,
    MODEL_CACHE_EXTENSION,
    PIPELINE,
    STOCK_ENGINE,
    TENSOR_DATATYPES,
)
from cdk_inference.limits import LAMBDA_PYTHON_VERSIONS, LAMBDA_UNZIPPED_BYTES
from cdk_inference.model import InferenceModel
from cdk_inference.packages import PackageTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdk_inference.archive import Archive
    from cdk_inference.aws.model_source import AnyModel
    from cdk_inference.validation import Problems
    from constructs import Construct


class Packaging(Enum):
    """How a function's code reaches Lambda.

    Example:
        >>> MLInferenceFunction(stack, "Model", model=model, packaging=Packaging.ZIP)
    """

    IMAGE = "image"
    """A container image, built by Docker at deploy. Up to 10 GB."""

    ZIP = "zip"
    """A zip and two layers, built at synth without Docker. Up to 250 MB unzipped, of which the
    runtime and its dependencies take about 105."""

    LITE = "lite"
    """As ``ZIP``, with no more of onnxruntime than its library: the runtime and its dependencies
    take about 31 MB. It serves models whose inputs and outputs are tensors, of strings too, without
    code of yours around them, for which there is no numpy."""

    @property
    def is_zip(self) -> bool:
        """Whether it is built at synth, without Docker."""
        return self is not Packaging.IMAGE


@dataclass(frozen=True)
class LambdaPlatform:
    """How, and for what, a function is packaged.

    Attributes:
        packaging: image or zip.
        architecture: the processor.
        python_version: of Lambda's Python, for example ``3.13``.
        target: what compiled packages in a zip are for.
        local: whether all this is for this machine's emulator.
    """

    packaging: Packaging
    architecture: lambda_.Architecture
    python_version: str
    target: PackageTarget
    local: bool


@dataclass(frozen=True)
class LambdaPackage:
    """A function's code, as the properties that a ``lambda_.Function`` takes.

    Attributes:
        code: the image, or the runtime's own code.
        handler: the entry point.
        runtime: a managed Python, or "from image".
        layers: ``None`` for an image, which cannot have any.
        fingerprint: changes exactly when the content does, that of the layers included.
    """

    code: lambda_.Code
    handler: str
    runtime: lambda_.Runtime
    layers: list[lambda_.LayerVersion] | None
    fingerprint: str


def lambda_platform(
    scope: Construct,
    packaging: Packaging,
    architecture: lambda_.Architecture,
    python_version: str,
) -> LambdaPlatform:
    """What was asked for, or this machine where the app is synthesized for the emulator."""
    if context.is_local(scope):
        # The emulator runs this machine's Python, whatever the function says, and no images.
        lite_here = packaging is Packaging.LITE and sys.platform == "linux"
        kind = Packaging.LITE if lite_here else Packaging.ZIP
        return LambdaPlatform(
            kind, _host_architecture(), python_version, PackageTarget.host(), True
        )
    arm = architecture.name == lambda_.Architecture.ARM_64.name
    target = PackageTarget.linux(python_version, "aarch64" if arm else "x86_64")
    return LambdaPlatform(packaging, architecture, python_version, target, False)


def check_unzipped_size(
    model: InferenceModel | None, platform: LambdaPlatform, problems: Problems
) -> None:
    """Record a problem if the function would be larger than Lambda allows a zip to be."""
    if model is None or platform.local or not platform.packaging.is_zip:
        return
    if platform.target.python_version not in LAMBDA_PYTHON_VERSIONS:
        return
    code, dependencies = _runtime_archives(platform)
    runtime = code.unzipped_bytes + dependencies.unzipped_bytes
    if runtime + model.size_bytes > LAMBDA_UNZIPPED_BYTES:
        room = LAMBDA_UNZIPPED_BYTES - runtime
        problems.add(
            f"the model has {_mb(model.size_bytes)} MB",
            allowed=f"packaging={platform.packaging} leaves it {_mb(room)} of Lambda's"
            f" {_mb(LAMBDA_UNZIPPED_BYTES)} MB unzipped",
            remedy="use Packaging.IMAGE or ModelSource.s3(…), or make the model smaller (quantize"
            " it)",
        )


def check_lite(
    model: AnyModel, packaging: Packaging, environment: Mapping[str, str], problems: Problems
) -> None:
    """Record a problem for each thing that needs more than onnxruntime's library."""
    if packaging is not Packaging.LITE:
        return
    remedy = "use Packaging.ZIP or Packaging.IMAGE"
    specs = (*model.inputs, *model.outputs) if isinstance(model, InferenceModel) else ()
    for spec in specs:
        if spec.datatype not in TENSOR_DATATYPES:
            problems.add(
                f"the model's {spec.name!r} is of type {spec.datatype}",
                allowed="Packaging.LITE serves tensors of numbers, booleans and strings",
                remedy=remedy,
            )
    if environment.get(PIPELINE) or environment.get(ENGINE) == STOCK_ENGINE:
        problems.add(
            f"environment sets {PIPELINE if environment.get(PIPELINE) else ENGINE}",
            allowed="Packaging.LITE has neither numpy nor onnxruntime's Python package",
            remedy=remedy,
        )


def package(
    scope: Construct,
    model: InferenceModel | None,
    platform: LambdaPlatform,
    base_image: str,
    *,
    model_cache: bool,
    image_arguments: Mapping[str, str],
) -> LambdaPackage:
    """Build what Lambda runs; layers become children of ``scope``.

    Args:
        scope: the function's construct.
        model: what the package holds; ``None`` where the model is elsewhere.
        platform: what it is for.
        base_image: of an image.
        model_cache: whether the extension is in it that fetches the model.
        image_arguments: further arguments of an image's build.
    """
    if platform.packaging is Packaging.IMAGE:
        arguments = {"BASE_IMAGE": base_image, **image_arguments}
        return _image(model, platform, arguments, model_cache)
    return _zip(scope, model, platform, model_cache)


def _image(
    model: InferenceModel | None,
    platform: LambdaPlatform,
    arguments: dict[str, str],
    model_cache: bool,
) -> LambdaPackage:
    arm = platform.architecture.name == lambda_.Architecture.ARM_64.name
    folder = image_context("lambda", model)
    if model_cache:
        arguments["MODEL_CACHE_EXTENSION"] = MODEL_CACHE_EXTENSION
    code = lambda_.Code.from_asset_image(
        str(folder),
        build_args=arguments,
        platform=ecr_assets.Platform.LINUX_ARM64 if arm else ecr_assets.Platform.LINUX_AMD64,
    )
    return LambdaPackage(
        code, lambda_.Handler.FROM_IMAGE, lambda_.Runtime.FROM_IMAGE, None, folder.name
    )


def _zip(
    scope: Construct, model: InferenceModel | None, platform: LambdaPlatform, model_cache: bool
) -> LambdaPackage:
    code, dependencies = _runtime_archives(platform)
    content = [code, dependencies]
    runtime = lambda_.Runtime(
        f"python{platform.python_version}", lambda_.RuntimeFamily.PYTHON, supports_snap_start=True
    )
    layers: list[lambda_.LayerVersion] = [
        lambda_.LayerVersion(
            scope,
            "DependenciesLayer",
            code=lambda_.Code.from_asset(str(dependencies.path)),
            compatible_runtimes=[runtime],
            compatible_architectures=[platform.architecture],
            description="onnxruntime and what else inference_runtime imports",
        )
    ]
    if model is not None:
        weights = model_archive(model)
        content.append(weights)
        layers.append(
            lambda_.LayerVersion(
                scope,
                "ModelLayer",
                code=lambda_.Code.from_asset(str(weights.path)),
                description=f"The ONNX model {model.name}",
            )
        )
    if model_cache:
        content.append(extension_archive())
        layers.append(ModelCacheExtension(scope, "ModelCacheExtension"))
    # By their bytes: where these are the same, Lambda publishes nothing.
    fingerprint = digest(*(archive.sha256 for archive in content))
    return LambdaPackage(
        lambda_.Code.from_asset(str(code.path)), AWS_LAMBDA_HANDLER, runtime, layers, fingerprint
    )


def _runtime_archives(platform: LambdaPlatform) -> tuple[Archive, Archive]:
    """The runtime's own code, and its dependencies."""
    lite = platform.packaging is Packaging.LITE
    return (
        code_archive(platform.target.python_version),
        dependencies_archive(platform.target, lite=lite),
    )


def _host_architecture() -> lambda_.Architecture:
    arm = host_platform.machine() in ("aarch64", "arm64")
    return lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64


def _mb(size: int) -> str:
    return f"{size / 2**20:.0f}"
