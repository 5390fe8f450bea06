"""Where built artifacts are kept between synths."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from cdk_inference.errors import PackagingError

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE_VARIABLE: Final = "CDK_INFERENCE_CACHE"


def cache_folder() -> Path:
    """The folder of built artifacts.

    ``$CDK_INFERENCE_CACHE``, or else ``cdk-inference`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.
    Everything in it is named by what it was built from: it is safe to delete at any time, and to
    share between projects and between synths that run at once.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cdk-inference"


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The file or folder ``name`` of the cache, built first where it is not there yet.

    Args:
        name: its path in the cache; holds a digest of everything that goes into it.
        build: makes it at the path given. That is a draft, moved into place when it is complete.

    Raises:
        PackagingError: the cache cannot be written.
    """
    final = cache_folder() / name
    if final.exists():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".building-", dir=final.parent) as workspace:
            draft = Path(workspace) / final.name
            build(draft)
            _move(draft, final)
    except OSError as error:
        raise PackagingError(
            f"cannot build {final}: {error}; if it cannot be written, make room there or set"
            f" {CACHE_VARIABLE} to another folder"
        ) from error
    return final


def _move(draft: Path, final: Path) -> None:
    try:
        draft.rename(final)
    except OSError:
        # Another synth has put the same folder there meanwhile.
        if not final.is_dir():
            raise
