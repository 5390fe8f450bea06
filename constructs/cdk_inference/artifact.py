"""The runtime and a model as a zip with layers, or as the build context of an image.

Everything built is cached by its content (:mod:`cdk_inference.cache`) and reproducible: the same
inputs give the same bytes, so that an unchanged part is not uploaded again.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from cdk_inference.archive import Archive, digest, write_folder, write_zip
from cdk_inference.cache import cached
from cdk_inference.contract import MODEL_CACHE_EXTENSION, MODEL_CACHE_LAUNCHER, MODELS_FOLDER
from cdk_inference.errors import PackagingError
from cdk_inference.runtime_files import (
    dockerfile,
    google_function_file,
    requirements_file,
    runtime_code,
    runtime_code_digest,
    runtime_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdk_inference.model import InferenceModel

# Lambda puts this folder of a layer on sys.path.
_LAYER_ROOT: Final = "python"
# And starts what is in this one beside the runtime.
_EXTENSIONS: Final = "extensions"

# Not needed to serve: tests, type stubs, and tools that build models. Nor reproducible: scripts
# and lists of files, which name the building machine's paths. Leaves 102 of 113 MiB and 528 of
# 1,379 files.
_LEFT_OUT: Final = (
    "bin/*",
    "*/RECORD",
    "*/tests/*",
    "*/__pycache__/*",
    "*.pyi",
    "numpy/f2py/*",
    "onnxruntime/backend/*",
    "onnxruntime/datasets/*",
    "onnxruntime/quantization/*",
    "onnxruntime/tools/*",
    "onnxruntime/transformers/*",
)


@dataclass(frozen=True)
class PackageTarget:
    """What a zip's compiled packages are for.

    Attributes:
        python_version: the interpreter, for example ``3.13``.
        platform: the operating system and processor, as uv's ``--python-platform`` has them.

    Example:
        >>> PackageTarget.linux("3.13", "aarch64").platform
        'aarch64-manylinux_2_28'
    """

    python_version: str
    platform: str

    @classmethod
    def linux(cls, python_version: str, machine: str) -> PackageTarget:
        """Linux on ``x86_64`` or ``aarch64``, as the managed runtimes of AWS Lambda have it.

        Those run on Amazon Linux 2023, whose glibc (2.34) runs all wheels for manylinux_2_28:
        https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
        """
        return cls(python_version, f"{machine}-manylinux_2_28")

    @classmethod
    def host(cls) -> PackageTarget:
        """This interpreter on this machine.

        Raises:
            PackagingError: the machine runs neither Linux nor macOS.
        """
        python_version = f"{sys.version_info.major}.{sys.version_info.minor}"
        machine = platform.machine()
        match sys.platform:
            case "linux":
                return cls.linux(python_version, machine)
            case "darwin":
                processor = "aarch64" if machine == "arm64" else machine
                return cls(python_version, f"{processor}-apple-darwin")
            case other:
                raise PackagingError(
                    f"cannot package for this machine's own Python on {other}; Linux and macOS"
                    " are supported (on Windows, use WSL)"
                )


def code_archive() -> Archive:
    """The runtime's own code, for a function's code.

    Raises:
        PackagingError: the cache cannot be written.
    """
    name = f"code/{runtime_code_digest()}.zip"
    return Archive(cached(name, lambda path: write_zip(path, runtime_code())))


def dependencies_archive(target: PackageTarget) -> Archive:
    """onnxruntime and what else the runtime imports, as a layer for ``target``.

    Built by uv from the exported requirements, each wheel checked against its hash, without
    running any of it: so for any platform, on any platform.

    Raises:
        PackagingError: a wheel is missing for ``target``, or neither uv's cache has it nor the
            network; or the cache cannot be written.
    """
    requirements = requirements_file("lambda-zip")
    key = digest(requirements, target.python_version, target.platform, *_LEFT_OUT)

    def build(path: Path) -> None:
        print(
            f"cdk-inference: packaging onnxruntime for Python {target.python_version} on"
            f" {target.platform}, once",
            file=sys.stderr,
        )
        with TemporaryDirectory(dir=path.parent) as folder:
            _install(requirements, target, Path(folder))
            write_zip(path, _served_files(Path(folder)))

    return Archive(cached(f"dependencies/{target.platform}/{key}.zip", build))


def dependencies_folder(requirements: Path, target: PackageTarget) -> Path:
    """What ``requirements`` name, as an image for ``target`` has it on ``sys.path``.

    Built by uv, as :func:`dependencies_archive`.

    Raises:
        PackagingError: likewise.
    """
    key = digest(requirements, target.python_version, target.platform)

    def build(path: Path) -> None:
        path.mkdir()
        _install(requirements, target, path)

    return cached(f"dependencies/{target.platform}/{key}", build)


def model_archive(model: InferenceModel) -> Archive:
    """A model's files, as a layer.

    Raises:
        PackagingError: the cache cannot be written.
    """
    files = {f"{_LAYER_ROOT}/{name}": file for name, file in _model_files(model).items()}
    name = f"models/{digest(model.name, model.sha256)}.zip"
    return Archive(cached(name, lambda path: write_zip(path, files)))


def extension_archive() -> Archive:
    """The extension that fetches a model beside the runtime, as a layer without the runtime.

    Raises:
        PackagingError: the cache cannot be written.
    """
    launcher = runtime_folder() / MODEL_CACHE_LAUNCHER
    files = {f"{_EXTENSIONS}/{MODEL_CACHE_EXTENSION}": launcher}
    name = f"extensions/{digest(MODEL_CACHE_EXTENSION, launcher)}.zip"
    return Archive(cached(name, lambda path: write_zip(path, files, executable=True)))


def image_context(
    image: str, model: InferenceModel | None, *, requirements: str | None = None
) -> Path:
    """The folder from which ``docker build`` makes the image ``image`` with ``model`` in it.

    Args:
        image: the name of its Dockerfile, for example ``lambda``.
        model: the model to serve; ``None`` if it is not in the image.
        requirements: the name of the exported requirements. Default: ``<image>-image``.

    Raises:
        PackagingError: the cache cannot be written.
    """
    files = {
        "Dockerfile": dockerfile(image),
        "requirements.txt": requirements_file(requirements or f"{image}-image"),
        **(_model_files(model) if model else {}),
        **runtime_code(),
    }
    key = digest(
        files["Dockerfile"],
        files["requirements.txt"],
        runtime_code_digest(),
        *((model.name, model.sha256) if model else ()),
    )

    def build(path: Path) -> None:
        write_folder(path, files)
        (path / MODELS_FOLDER).mkdir(exist_ok=True)

    return cached(f"images/{key}", build)


def google_function_archive(model: InferenceModel | None) -> Archive:
    """The source of a Google Cloud Function, whose build installs its requirements.

    Args:
        model: the model to serve; ``None`` if it is not in the source.

    Raises:
        PackagingError: the cache cannot be written.
    """
    files = {
        "main.py": google_function_file(),
        "requirements.txt": requirements_file("cloud-function"),
        **(_model_files(model) if model else {}),
        **runtime_code(),
    }
    key = digest(
        files["main.py"],
        files["requirements.txt"],
        runtime_code_digest(),
        *((model.name, model.sha256) if model else ()),
    )
    return Archive(cached(f"functions/{key}.zip", lambda path: write_zip(path, files)))


def prefetch(targets: Iterable[PackageTarget]) -> None:
    """Build what later synths for ``targets`` need of the network.

    Raises:
        PackagingError: as :func:`dependencies_archive`.

    Example:
        >>> prefetch([PackageTarget.host(), PackageTarget.linux("3.13", "x86_64")])
    """
    for target in targets:
        dependencies_archive(target)


def _model_files(model: InferenceModel) -> dict[str, Path]:
    return {f"{MODELS_FOLDER}/{model.name}/{name}": file for name, file in model.files.items()}


def _served_files(folder: Path) -> Mapping[str, Path]:
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    return {
        f"{_LAYER_ROOT}/{name}": file
        for name, file in files.items()
        if file.is_file() and not any(fnmatch(name, pattern) for pattern in _LEFT_OUT)
    }


def _install(requirements: Path, target: PackageTarget, folder: Path) -> None:
    # uv is a program in a wheel; importing it here keeps it out of what only reads models.
    import uv

    command = [
        uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--requirements", str(requirements), "--target", str(folder),
        "--python", sys.executable, "--python-version", target.python_version,
        "--python-platform", target.platform,
    ]  # fmt: skip
    # What uv has cached needs no network, not even to ask whether there is something newer.
    if subprocess.run([*command, "--offline"], capture_output=True, check=False).returncode == 0:  # noqa: S603
        return
    online = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if online.returncode != 0:
        raise PackagingError(
            f"cannot install {requirements.name} for Python {target.python_version} on"
            f" {target.platform}. uv says:\n{online.stderr.strip()}\n"
            "Without a network, run `cdk-inference prefetch` once where there is one; where a wheel"
            " is missing, choose another Python version or architecture."
        )
