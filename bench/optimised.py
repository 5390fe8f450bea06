"""The benchmarks' models as `inference-runtime optimize` writes them, made on first use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from inference_runtime.manifest import MANIFEST_FILE, Mismatch, read_promise

from bench import models

# Without samples, nothing that changes answers. Convolutions laid out for this processor.
CANDIDATES = {"resnet18": "slim,graph,layout"}
DEFAULT = "slim,graph,fused"


def folder_of(model: str) -> Path:
    """The folder that ``optimize`` writes: that takes a minute, and four for the largest.

    It is made again where its manifest no longer holds.
    """
    folder = models.CACHE / "optimised" / model
    if not _serves(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "inference_runtime.cli", "optimize", models.path_of(model),
             "--output", folder, "--candidates", CANDIDATES.get(model, DEFAULT), "--runs", "20"],
            check=True,
        )  # fmt: skip
    return folder


def _serves(folder: Path) -> bool:
    """Whether it was made for this onnxruntime and this processor, by an `optimize` as of today."""
    try:
        text = (folder / MANIFEST_FILE).read_bytes()
        return read_promise(text, "model.onnx", on_cpu=True) is not None
    except (OSError, Mismatch):
        return False


def served_file(folder: Path) -> Path:
    """What the manifest in ``folder`` has served."""
    return folder / _served(folder)["file"]


def weights(folder: Path) -> dict[str, Any] | None:
    """Where the manifest in ``folder`` says that the weights of that are."""
    return _served(folder)["weights"]  # type: ignore[no-any-return]


def _served(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST_FILE).read_text())["served"]  # type: ignore[no-any-return]
