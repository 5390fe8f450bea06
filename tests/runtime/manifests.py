"""Manifests beside models, as ``optimize`` writes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import onnxruntime
from inference_runtime import manifest


def entry(path: Path) -> dict[str, Any]:
    """What a manifest says of one file."""
    content = path.read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write(folder: Path, file: str = "optimized.onnx", **changes: Any) -> None:
    """A manifest for ``model.onnx``, in whose place ``file`` serves.

    Args:
        folder: of both.
        file: what serves.
        changes: members that differ.
    """
    document = {
        "manifest_version": manifest.MANIFEST_VERSION,
        "original": {
            "file": "model.onnx",
            "files": {"model.onnx": entry(folder / "model.onnx")},
        },
        "served": {"file": file, "files": {file: entry(folder / file)}},
        "load": {"optimize_graph": False, "prepack": False, "unpacked_start": True},
        "onnxruntime": onnxruntime.__version__,
        "instruction_set": None,
    }
    (folder / manifest.MANIFEST_FILE).write_text(json.dumps(document | changes))
