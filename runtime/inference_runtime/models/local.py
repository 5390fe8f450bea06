"""Models on this machine: a path or a ``file://`` URI of a file, or of a repository's folder."""

from __future__ import annotations

import os
import sys

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import FoundModel, ModelFiles
from inference_runtime.models.files import checked_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.settings import Settings


def find(settings: Settings) -> list[FoundModel]:
    """See ``find_models``."""
    for candidate in _candidates(settings.model_uri):
        if os.path.isfile(candidate):
            break
        if os.path.isdir(candidate):
            return _repository(candidate, settings)

    def fetch() -> ModelFiles:
        return _files(find_file(settings.model_uri), settings)

    return [FoundModel(settings.model_name, settings.model_version, fetch)]


def find_file(uri: str) -> str:
    """The path of the file that ``uri`` names.

    Args:
        uri: a ``file://`` URI, an absolute path, or a path relative to the working directory or
            to an entry of ``sys.path``.

    Raises:
        ModelNotLoaded: there is no such file; the message lists where it was looked for.
    """
    candidates = _candidates(uri)
    for candidate in candidates:
        if os.path.isfile(candidate):
            return candidate
    raise ModelNotLoaded(f"MODEL_URI is {uri!r}, but there is no file {' or '.join(candidates)}")


def _candidates(uri: str) -> list[str]:
    path = uri.removeprefix("file://")
    if path != uri and "%" in path:
        from urllib.parse import unquote  # few URIs of files need it, and it imports slowly

        path = unquote(path)
    folders = [""] if os.path.isabs(path) else [os.getcwd(), *sys.path]
    return [os.path.join(folder, path) for folder in folders]


def _repository(folder: str, settings: Settings) -> list[FoundModel]:
    from inference_runtime.models.layout import found_models

    paths = [
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
    ]
    return found_models(
        folder, paths, settings, lambda name: _files(os.path.join(folder, name), settings)
    )


def _files(path: str, settings: Settings) -> ModelFiles:
    if settings.model_sha256:
        from inference_runtime.models.digest import check_files

        check_files(path, settings.model_sha256)
    return checked_files(path, path, settings)
