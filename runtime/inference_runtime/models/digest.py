"""The digest of a model, as ``MODEL_SHA256`` gives it."""

from __future__ import annotations

import os

from inference_runtime.errors import ModelNotLoaded
from inference_runtime.models.layout import MODEL_FILE
from inference_runtime.models.onnx_file import external_data
from inference_runtime.sha256 import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def check_files(path: str, expected: str) -> None:
    """Check the digest of a model on this machine; it is read whole.

    Raises:
        ModelNotLoaded: as ``check_digest`` and ``external_data``.
    """
    check_digest(path, *_digests(path), expected)


def digest(path: str) -> str:
    """The digest of a model on this machine; it is read whole.

    Raises:
        ModelNotLoaded: as ``external_data``.
    """
    return _combined(*_digests(path))


def check_digest(uri: str, own: str, external: Mapping[str, str], expected: str) -> None:
    """Check the digest of a model.

    Args:
        uri: of the model, for the message.
        own: the SHA-256 of its ONNX file.
        external: the SHA-256 of each file of external data, by the name that the ONNX file has
            for it.
        expected: ``own``, or, with external data, the SHA-256 of what ``sha256sum`` prints for all
            files, sorted by name, the ONNX file called ``model.onnx``. So ``InferenceModel.sha256``
            of the constructs has it.

    Raises:
        ModelNotLoaded: it is another.
    """
    found = _combined(own, external)
    if found != expected:
        raise ModelNotLoaded(
            f"{uri} has the SHA-256 {found}, but MODEL_SHA256 is {expected}: it is another model,"
            " or not what was stored; correct one of the two"
        )


def _combined(own: str, external: Mapping[str, str]) -> str:
    if not external:
        return own
    listing = sorted({**external, MODEL_FILE: own}.items())
    text = "".join(f"{digest}  {name}\n" for name, digest in listing)
    return str(sha256(text.encode()).hexdigest())


def _digests(path: str) -> tuple[str, dict[str, str]]:
    folder = os.path.dirname(path)
    external = {name: _sha256(os.path.join(folder, name)) for name in external_data(path, path)}
    return _sha256(path), external


def _sha256(path: str) -> str:
    from hashlib import file_digest  # OpenSSL's, the fastest where there is much

    try:
        with open(path, "rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelNotLoaded(
            f"{path} cannot be digested ({error.strerror}): put it there, and have it readable"
        ) from error
