"""Exports uv.lock to what artifacts install: `make requirements` runs it.

With --check it writes nothing, and fails if a file is not what uv.lock says.
"""

import subprocess
import sys
from pathlib import Path

import uv

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "runtime" / "requirements"
EXTRAS: dict[str, list[str]] = {
    "lambda-zip": [],
    "lambda-image": [],
    "cloud-run-image": ["http"],
    "cloud-run-cuda12-image": ["http", "cuda12"],
    "cloud-run-cuda13-image": ["http", "cuda13"],
    "cloud-function": ["google"],
}


def export(extras: list[str]) -> str:
    """The locked dependencies of the runtime with ``extras``, each with its hashes."""
    return subprocess.run(  # noqa: S603
        [
            *(uv.find_uv_bin(), "export", "--quiet", "--locked", "--offline"),
            *("--no-annotate", "--no-header"),
            *("--package", "inference-runtime", "--no-emit-project", "--no-dev"),
            *(f"--extra={extra}" for extra in extras),
            # onnxruntime-gpu brings the same files.
            *(["--no-emit-package=onnxruntime"] if {"cuda12", "cuda13"} & set(extras) else []),
        ],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def main() -> None:
    """Write every file, or check every file."""
    for name, extras in EXTRAS.items():
        file, wanted = FOLDER / f"{name}.txt", export(extras)
        if "--check" not in sys.argv:
            file.write_text(wanted)
        elif file.read_text() != wanted:
            sys.exit(f"{file.relative_to(ROOT)} is not what uv.lock says: run `make requirements`")


if __name__ == "__main__":
    main()
