"""The checks that every model passes before a session is made of its files."""

from __future__ import annotations

import os

from inference_runtime import manifest
from inference_runtime.engine.options import ORT_SUFFIX
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import ModelFiles
from inference_runtime.models.memory import check_fits
from inference_runtime.models.onnx_file import external_data
from inference_runtime.readahead import read_ahead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.manifest import Served
    from inference_runtime.models.cache import Lease
    from inference_runtime.settings import Settings


def checked_files(
    path: str, uri: str, settings: Settings, lease: Lease | None = None
) -> ModelFiles:
    """The files of a model, which are there and fit this process's memory.

    Args:
        path: of the ONNX file, in whose place a manifest beside it may name another.
        uri: of the model, for messages.
        settings: of this process.
        lease: keeps the files while they are used.

    Raises:
        ModelNotLoaded: the ONNX file is not whole, external data are missing or outside its
            folder, or the model needs more memory than there is.
    """
    return manifest.or_original(
        manifest.served(path, on_cpu=settings.on_cpu),
        lambda served: _checked(served, uri, settings, lease),
    )


def _checked(served: Served, uri: str, settings: Settings, lease: Lease | None) -> ModelFiles:
    if served.path != served.original:
        uri = served.path
    folder = os.path.dirname(served.path)
    if settings.loads_models:
        read_ahead(served.path)
    weights = served.options.weights
    external = external_data(served.path, uri) if weights is None else [weights.file]
    own_size = os.path.getsize(served.path)
    external_size = sum(_size(uri, folder, name) for name in external)
    is_mapped = served.path.endswith(ORT_SUFFIX)  # as a whole
    embedded, mapped = (0, own_size) if is_mapped else (own_size, external_size)
    check_fits(uri, embedded, mapped, settings.lambda_memory_mb, is_loaded=settings.loads_models)
    if settings.loads_models:
        for name in external:
            read_ahead(os.path.join(folder, name))
    return ModelFiles(served, own_size + external_size, lease)


def _size(uri: str, folder: str, name: str) -> int:
    file = os.path.join(folder, name)
    try:
        return os.path.getsize(file)
    except OSError as error:
        raise ModelNotLoaded(
            f"{uri} refers to external data in {name!r}, but {file} cannot be read"
            f" ({error.strerror}): put it there"
        ) from error
