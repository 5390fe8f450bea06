"""An ONNX model that is in a store, and not on the machine that synthesizes the app."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_cdk import Token

from cdk_inference.model import IDENTIFIER
from cdk_inference.validation import Problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import Size

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredModel:
    """A model that is in a store already, put there by somebody else. Make one with :meth:`at`.

    Attributes:
        path: its ONNX file's path in the store.
        files: the names of all its files, in the folder of the ONNX file, which is one of them.
        name: what the model is called in the Open Inference Protocol and in logs.
        version: what tells this model from its predecessors.
        size_bytes: the size of all its files together.
        sha256: the digest of its content, as :attr:`InferenceModel.sha256` has it; ``None`` where
            it is not known.

    Example:
        >>> model = StoredModel.at("digits/3/model.onnx", size=Size.mebibytes(120))
        >>> model.name, model.version
        ('digits', '3')
    """

    path: str
    files: tuple[str, ...]
    name: str
    version: str
    size_bytes: int
    sha256: str | None

    @classmethod
    def at(
        cls,
        path: str,
        *,
        size: Size,
        name: str | None = None,
        version: str | None = None,
        sha256: str | None = None,
        other_files: Sequence[str] = (),
    ) -> StoredModel:
        """A model at ``path`` in whichever store.

        Args:
            path: its ONNX file's path: names of letters, digits, ``.``, ``_`` and ``-``, the first
                a letter or digit, with ``/`` between them.
            size: of all its files together, known at synth. Memory and ``/tmp`` are chosen by it,
                so rather give too much than too little.
            name: as of :meth:`InferenceModel.from_file`. Default: the name of the folder above that
                of the ONNX file, as in ``<name>/<version>/model.onnx``.
            version: likewise. Default: the name of the ONNX file's folder.
            sha256: the digest of the content, in hex; with external data, that of a listing of all
                files: see :attr:`InferenceModel.sha256`. Default: none, and what is in the store
                then is taken as it is.
            other_files: the names of its external data, and of what an optimised model's manifest
                names, in the folder of the ONNX file. Default: none.

        Raises:
            ConfigurationError: the path, the name, the version, the size or the digest has another
                form than those above, or the path tells no name and version and they are not given.

        Example:
            >>> StoredModel.at("latest.onnx", name="digits", version="3", size=Size.mebibytes(120))
        """
        problems = Problems(path)
        *folders, file = path.split("/")
        problems.check_known("path", not Token.is_unresolved(path))
        problems.raise_if_any()  # a token has no folders, which name and version come from
        _check_path(path, problems)
        name = _given_or("name", name, folders[-2:-1], problems)
        version = _given_or("version", version, folders[-1:], problems)
        size_is_known = problems.check_known("size", not size.is_unresolved())
        size_bytes = int(size.to_bytes()) if size_is_known else 0
        if size_is_known and size_bytes < 1:
            problems.add(
                f"size is {size_bytes} bytes",
                allowed="a model has at least 1",
                remedy="give the size of its files together",
            )
        if sha256 is not None and not _is_digest(sha256):
            problems.add(
                f"sha256 is {sha256!r}",
                allowed="a digest has 64 digits of 0 to 9 and a to f",
                remedy="give what `sha256sum` prints for the file, or leave it out",
            )
        problems.raise_if_any()
        return cls(path, (file, *other_files), name, version, size_bytes, sha256)


def _is_digest(sha256: str) -> bool:
    return Token.is_unresolved(sha256) or bool(_SHA256.fullmatch(sha256))


def _check_path(path: str, problems: Problems) -> None:
    if not all(IDENTIFIER.fullmatch(part) for part in path.split("/")):
        problems.add(
            f"path is {path!r}",
            allowed="allowed are names of letters, digits, '.', '_' and '-', the first a letter or"
            " digit, with '/' between them",
            remedy="give the path of the ONNX file in the store, such as 'digits/3/model.onnx'",
        )


def _given_or(what: str, given: str | None, default: list[str], problems: Problems) -> str:
    value = given if given is not None else "".join(default)
    if not IDENTIFIER.fullmatch(value):
        problems.add(
            f"the model's {what} is {value!r}",
            allowed="1 to 64 letters, digits, '.', '_' and '-' are allowed, the first a letter or"
            " digit",
            remedy=f"give {what}=…, or a path such as 'digits/3/model.onnx'",
        )
    return value
