"""How much room a function's code and layers take once Lambda has unpacked them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aws_cdk import Stage

from cdk_inference.archive import Archive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from constructs import Construct


def unzipped_bytes(scope: Construct, keys: Iterable[object]) -> int:
    """The size of what synth has staged to be stored at ``keys``; anything else counts nothing."""
    stage = Stage.of(scope)
    folder = Path(stage.asset_outdir if stage else "")
    return sum(_size(folder, Path(key).stem) for key in keys if isinstance(key, str))


def _size(folder: Path, digest: str) -> int:
    unpacked, packed = folder / f"asset.{digest}", folder / f"asset.{digest}.zip"
    if unpacked.is_dir():
        return sum(file.stat().st_size for file in unpacked.rglob("*") if file.is_file())
    return Archive(packed).unzipped_bytes if packed.is_file() else 0
