"""The checks that every model passes before a session is made of its files."""

from __future__ import annotations

import os

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models import ModelFiles
from inference_runtime.models.memory import check_fits
from inference_runtime.models.onnx_file import external_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.models.cache import Lease
    from inference_runtime.settings import Settings


def checked_files(
    path: str, uri: str, settings: Settings, lease: Lease | None = None
) -> ModelFiles:
    """The files of a model, which are there and fit this process's memory.

    Args:
        path: of the ONNX file.
        uri: of the model, for messages.
        settings: of this process.
        lease: keeps the files while they are used.

    Raises:
        ModelNotLoaded: the ONNX file is not whole, external data are missing or outside its
            folder, or the model needs more memory than there is.
    """
    folder = os.path.dirname(path)
    own_size = os.path.getsize(path)
    external_size = sum(_size(uri, folder, name) for name in external_data(path, uri))
    check_fits(uri, own_size, external_size, settings.lambda_memory_mb)
    return ModelFiles(path, own_size + external_size, lease)


def _size(uri: str, folder: str, name: str) -> int:
    file = os.path.join(folder, name)
    try:
        return os.path.getsize(file)
    except OSError as error:
        raise ModelNotLoaded(
            f"{uri} refers to external data in {name!r}, but {file} cannot be read"
            f" ({error.strerror}): put it there"
        ) from error
