"""Where the runtime's files are that artifacts are made of."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from cdk_inference.archive import digest
from cdk_inference.contract import RUNTIME_PACKAGE
from cdk_inference.errors import PackagingError

_HERE: Final = Path(__file__).parent
# Works on models, and serves none.
_BUILD_TIME: Final = (
    f"{RUNTIME_PACKAGE}/optimize/",
    f"{RUNTIME_PACKAGE}/cli/inspect.py",
    f"{RUNTIME_PACKAGE}/cli/optimize.py",
)


@cache
def runtime_folder() -> Path:
    """The folder with ``inference_runtime/``, ``functions/``, ``images/`` and ``requirements/``.

    In an installed wheel that is the copy inside this package; in a checkout, ``runtime/``.

    Raises:
        PackagingError: neither is there.
    """
    candidates = (_HERE / "_runtime", _HERE.parents[1] / "runtime")
    for folder in candidates:
        if (folder / RUNTIME_PACKAGE).is_dir():
            return folder
    raise PackagingError(
        f"the runtime's files are neither in {' nor in '.join(map(str, candidates))}; install"
        " cdk-inference again"
    )


def runtime_code() -> dict[str, Path]:
    """The files of the runtime package that serve, by their path below a folder of ``sys.path``."""
    root = runtime_folder()
    files = sorted(file for file in (root / RUNTIME_PACKAGE).rglob("*") if file.is_file())
    names = {file.relative_to(root).as_posix(): file for file in files if file.suffix != ".pyc"}
    return {name: file for name, file in names.items() if not name.startswith(_BUILD_TIME)}


def runtime_code_digest() -> str:
    """A digest of the names and contents of what serves."""
    return digest(*(part for entry in runtime_code().items() for part in entry))


def requirements_file(name: str) -> Path:
    """The exported requirements ``name``, for example ``lambda-zip``."""
    return runtime_folder() / "requirements" / f"{name}.txt"


@cache
def packaged_onnxruntime() -> str:
    """The version of onnxruntime in a Lambda function's package, for example ``1.31.1``."""
    pins = requirements_file("lambda-zip").read_text().splitlines()
    (pin,) = (pin for pin in pins if pin.startswith("onnxruntime=="))
    return pin.partition("==")[2].split()[0]


def google_function_file() -> Path:
    """The file in which Google Cloud Functions look for the function."""
    return runtime_folder() / "functions" / "main.py"


def pack_script() -> Path:
    """What makes installed packages fit for serving, in zips and in the builds of images."""
    return runtime_folder() / "images" / "pack.py"


def dockerfile(name: str) -> Path:
    """The Dockerfile of the image ``name``, for example ``lambda``."""
    return runtime_folder() / "images" / f"{name}.Dockerfile"
