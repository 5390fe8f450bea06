"""An ONNX model, and what it declares of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdk_inference.contract import MANIFEST_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

# What a model and a version may be called, so that it fits every path and URI.
IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class TensorSpec:
    """One declared input or output of a model.

    Attributes:
        name: its name in the graph.
        datatype: the Open Inference Protocol's name of its element type (``FP32``, ``INT64``,
            ``BYTES``, …). For what that protocol has no name for, ONNX's own notation, for
            example ``seq(map(int64,tensor(float)))``, which skl2onnx's ZipMap makes.
        shape: its dimensions, ``None`` for one of any size. ``None`` as a whole for an unknown
            rank and for what is no tensor.

    Example:
        >>> TensorSpec("pixels", "FP32", (None, 64)).shape
        (None, 64)
    """

    name: str
    datatype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class InferenceModel:
    """An ONNX model on this machine, checked and ready to be packaged.

    Make one with :meth:`from_file`.

    Attributes:
        path: the ONNX file.
        name: what the model is called in the Open Inference Protocol and in logs.
        version: what tells this model from its predecessors.
        inputs: what a request must give, in the graph's order; inputs with a default are left out.
        outputs: what an answer holds, in the graph's order.
        opsets: the operator set's version of each domain, for example ``{"ai.onnx": 18}``.
        files: every file of the model by its path in an artifact: the ONNX file is always
            ``model.onnx``, external data keeps the name by which the ONNX file refers to it. A
            ``manifest.json`` of `inference-runtime optimize` beside a ``model.onnx`` is of them,
            with the optimised files that it names.
        size_bytes: the size of all files together.
        sha256: the digest of the content, in hex. Of a single file, that file's own SHA-256; with
            external data, the SHA-256 of a ``sha256sum`` listing of all files, sorted by path.

    Example:
        >>> model = InferenceModel.from_file("models/digits/digits.onnx")
        >>> model.name, model.inputs
        ('digits', (TensorSpec(name='pixels', datatype='FP32', shape=(None, 64)),))
    """

    path: Path
    name: str
    version: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opsets: Mapping[str, int]
    files: Mapping[str, Path]
    size_bytes: int
    sha256: str

    @property
    def pinned_sha256(self) -> str | None:
        """The digest that the runtime checks at load. ``None`` with a manifest, which pins its
        files itself, and names more than the digest is of.
        """
        return None if MANIFEST_FILE in self.files else self.sha256

    @classmethod
    def from_file(
        cls, path: str | PathLike[str], *, name: str | None = None, version: str | None = None
    ) -> InferenceModel:
        """Read and check an ONNX file, with its external data.

        Args:
            path: the ONNX file, relative to the working directory or absolute.
            name: 1 to 64 letters, digits, ``.``, ``_`` and ``-``, the first a letter or digit.
                Default: the file's name without its suffix.
            version: as ``name``. Default: the first 12 hex digits of :attr:`sha256`, so that the
                version changes when the content does and never otherwise. Avoid a date or a build
                number here: each would publish a new Lambda version of an unchanged model.

        Raises:
            ConfigurationError: the file is missing, empty, cut short or no ONNX model; its
                external data is missing, too short or outside the model's folder; the manifest
                beside it was made for other files; it needs a newer operator set or file format
                than the packaged onnxruntime has; or the name or version has other characters
                than those above.

        Example:
            >>> InferenceModel.from_file("models/digits/digits.onnx", version="2026.1").version
            '2026.1'
        """
        # onnx and protobuf take a while to import; an app that only passes models on needs neither.
        from cdk_inference.onnx_file import read_model

        return read_model(Path(path), name, version)
