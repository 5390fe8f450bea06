"""The runtime and a model as a zip with layers, or as the build context of an image.

Everything built is cached by its content (:mod:`cdk_inference.cache`) and reproducible: the same
inputs give the same bytes, so that an unchanged part is not uploaded again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from cdk_inference.archive import Archive, digest, write_folder, write_zip
from cdk_inference.cache import cached
from cdk_inference.contract import (
    MODEL_CACHE_EXTENSION,
    MODEL_CACHE_LAUNCHER,
    MODELS_FOLDER,
    SMOKE_TESTS_FILE,
)
from cdk_inference.packages import install, interpreter, pack
from cdk_inference.runtime_files import (
    dockerfile,
    google_function_file,
    pack_script,
    requirements_file,
    runtime_code,
    runtime_code_digest,
    runtime_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdk_inference.model import InferenceModel
    from cdk_inference.packages import PackageTarget

# Lambda puts this folder of a layer on sys.path, and has the function's code in the other one.
_LAYER_ROOT: Final = "python"
_LAYERS: Final = "/opt"
_TASK: Final = "/var/task"
# And starts what is in this one beside the runtime.
_EXTENSIONS: Final = "extensions"


def code_archive(python_version: str) -> Archive:
    """The runtime's own code, for a function's code.

    Args:
        python_version: the interpreter that it is compiled for, where this machine has that.

    Raises:
        PackagingError: the cache cannot be written.
    """
    key = digest(runtime_code_digest(), *_packing(python_version))

    def build(path: Path) -> None:
        with TemporaryDirectory(dir=path.parent) as folder:
            write_folder(Path(folder) / "code", runtime_code())
            pack(Path(folder) / "code", _TASK, python_version)
            write_zip(path, _files(Path(folder) / "code"))

    return Archive(cached(f"code/{key}.zip", build))


def hook_archive(smoke_tests: str) -> Archive:
    """The runtime's own code and what its hook of AWS CodeDeploy asks, for a function's code.

    Args:
        smoke_tests: as JSON.

    Raises:
        PackagingError: the cache cannot be written.
    """

    def build(path: Path) -> None:
        with TemporaryDirectory(dir=path.parent) as folder:
            tests = Path(folder) / SMOKE_TESTS_FILE
            tests.write_text(smoke_tests)
            write_zip(path, {SMOKE_TESTS_FILE: tests, **runtime_code()})

    return Archive(cached(f"hooks/{digest(runtime_code_digest(), smoke_tests)}.zip", build))


def dependencies_archive(target: PackageTarget, *, lite: bool = False) -> Archive:
    """onnxruntime and what else the runtime imports, as a layer for ``target``.

    Built by uv from the exported requirements, each wheel checked against its hash, without
    running any of it: so for any platform, on any platform. It is compiled where this machine has
    the interpreter; without, each cold start compiles what it imports.

    Args:
        target: what it is for.
        lite: whether to leave out what models of tensors do without: onnxruntime's Python package
            and numpy.

    Raises:
        PackagingError: a wheel is missing for ``target``, or neither uv's cache has it nor the
            network; or the cache cannot be written.
    """
    requirements = requirements_file("lambda-zip")
    options = ["--lite"] if lite else []
    key = digest(requirements, *_packing(target.python_version), target.platform, *options)

    def build(path: Path) -> None:
        print(
            f"cdk-inference: packaging onnxruntime for Python {target.python_version} on"
            f" {target.platform}, once{_without_bytecode(target.python_version)}",
            file=sys.stderr,
        )
        with TemporaryDirectory(dir=path.parent) as folder:
            packages = Path(folder) / _LAYER_ROOT
            install(requirements, target, packages)
            pack(packages, f"{_LAYERS}/{_LAYER_ROOT}", target.python_version, *options)
            write_zip(path, _files(Path(folder)))

    return Archive(cached(f"dependencies/{target.platform}/{key}.zip", build))


def dependencies_folder(requirements: Path, target: PackageTarget) -> Path:
    """What ``requirements`` name, as an image for ``target`` has it on ``sys.path``.

    Built by uv, as :func:`dependencies_archive`.

    Raises:
        PackagingError: likewise.
    """
    key = digest(requirements, *_packing(target.python_version), target.platform)

    def build(path: Path) -> None:
        install(requirements, target, path)
        pack(path, str(path), target.python_version)

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
        "pack.py": pack_script(),
        **(_model_files(model) if model else {}),
        **runtime_code(),
    }
    key = digest(
        files["Dockerfile"],
        files["requirements.txt"],
        files["pack.py"],
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
        for lite in (False, True):
            dependencies_archive(target, lite=lite)


def _model_files(model: InferenceModel) -> dict[str, Path]:
    return {f"{MODELS_FOLDER}/{model.name}/{name}": file for name, file in model.files.items()}


def _files(folder: Path) -> Mapping[str, Path]:
    """All files in a folder by their paths below it."""
    return {
        file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()
    }


def _packing(python_version: str) -> tuple[Path, str]:
    """What tells apart files that were packed otherwise."""
    return pack_script(), python_version if interpreter(python_version) else "source"


def _without_bytecode(python_version: str) -> str:
    if interpreter(python_version):
        return ""
    return (
        f", and without bytecode: there is no Python {python_version} on this machine, so every"
        f" cold start will compile what it imports. Install one (uv python install"
        f" {python_version}) and synthesize again"
    )
