"""A repository of models as Triton lays it out: ``<model>/<version>/model.onnx``.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_repository.md
"""

from __future__ import annotations

from functools import partial

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import FoundModel, ModelFiles
from inference_runtime.settings import DEFAULT_MODEL_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from inference_runtime.settings import Settings

MODEL_FILE: Final = "model.onnx"


def found_models(
    uri: str, paths: Iterable[str], settings: Settings, fetch: Callable[[str], ModelFiles]
) -> list[FoundModel]:
    """The models of a repository; see ``find_models``.

    Args:
        uri: of the repository, for messages.
        paths: of its files, relative to it.
        settings: of this process.
        fetch: makes the model of one of these paths available.

    Raises:
        ModelNotLoaded: there is no model, or not ``MODEL_NAME``; or ``MODEL_SHA256`` is set.
    """
    versions = find_versions(paths)
    where = f"MODEL_URI names the repository {uri}"
    if settings.model_sha256:
        raise ModelNotLoaded(f"{where}, and MODEL_SHA256 is of a single model: unset it")
    if not versions:
        raise ModelNotLoaded(
            f"{where}, but holds no <model>/<version>/{MODEL_FILE} whose version is a whole number"
            " from 1"
        )
    names = sorted({name for name, _ in versions})
    if settings.model_name not in (*names, DEFAULT_MODEL_NAME):
        raise ModelNotLoaded(
            f"{where}, and MODEL_NAME is {settings.model_name!r}; it holds {', '.join(names)}"
        )
    versions.sort(key=lambda version: version[0] != settings.model_name)
    return [
        FoundModel(name, version, partial(fetch, f"{name}/{version}/{MODEL_FILE}"))
        for name, version in versions
    ]


def find_versions(paths: Iterable[str]) -> list[tuple[str, str]]:
    """The models and versions in a repository, by name and then by number.

    Args:
        paths: of its files, relative to it. What is laid out in another way is passed over, and so
            are versions that are no number or start with 0, as in Triton.

    Example:
        >>> find_versions(["b/1/model.onnx", "a/10/model.onnx", "a/9/model.onnx", "a/notes.txt"])
        [('a', '9'), ('a', '10'), ('b', '1')]
    """
    found = set()
    for path in paths:
        match path.split("/"):
            case [model, version, file] if file == MODEL_FILE and _is_version(version):
                found.add((model, int(version)))
    return [(model, str(version)) for model, version in sorted(found)]


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdecimal() and not text.startswith("0")
