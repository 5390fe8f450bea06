"""``manifest.json`` beside a model: what to serve in its place, how to load it, and when to.

`inference-runtime optimize` writes it. It names an optimised model and the circumstances in which
that was measured. Where they are not these, the model itself serves: slower, and never wrong.
"""

from __future__ import annotations

import os

from inference_runtime.engine.capi import NeedsStockEngine
from inference_runtime.engine.options import DEFAULT_OPTIONS, LoadOptions
from inference_runtime.errors import InferenceError, ModelNotLoaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Final, TypeVar

    from inference_runtime.engine.weights import Weights

    T = TypeVar("T")

MANIFEST_FILE: Final = "manifest.json"
MANIFEST_VERSION: Final = 1
# Larger files are compared by size alone: digesting 100 MB takes longer than loading them. Graphs
# with external data, which `optimize` writes, are smaller.
DIGEST_UP_TO_BYTES: Final = 1 << 20

_CPUINFO = "/proc/cpuinfo"
# Those that onnxruntime lays convolutions out for.
_INSTRUCTION_SETS: Final = frozenset({"avx", "avx2", "avx512f", "asimd", "sve"})


class Served:
    """What to load.

    Attributes:
        original: the model's own file.
        path: the file to load, which may be the same.
        options: what makes the fastest runs.
        unpacked_start: whether the first answer was measured to come sooner without prepacking.
        request_elements: how many a request has; 0 where that is not known.
    """

    __slots__ = ("options", "original", "path", "request_elements", "unpacked_start")

    def __init__(
        self,
        original: str,
        path: str = "",
        options: LoadOptions = DEFAULT_OPTIONS,
        *,
        unpacked_start: bool = False,
        request_elements: int = 0,
    ) -> None:
        self.original = original
        self.path = path or original
        self.options = options
        self.unpacked_start = unpacked_start
        self.request_elements = request_elements


class Promise:
    """What a manifest holds, where its circumstances are those of this process.

    Attributes:
        file: the model that serves.
        files: size and SHA-256 of each of its files, by name.
        original_files: the same of the original.
        options: how the session is made.
        unpacked_start: as ``Served`` has it.
        request_elements: likewise.
    """

    __slots__ = (
        "file", "files", "options", "original_files", "request_elements", "unpacked_start",
    )  # fmt: skip

    def __init__(self, document: Mapping[str, Any]) -> None:
        load = document["load"]
        self.file: str = document["served"]["file"]
        self.files: Mapping[str, Mapping[str, Any]] = document["served"]["files"]
        self.original_files: Mapping[str, Mapping[str, Any]] = document["original"]["files"]
        self.options = LoadOptions(
            optimize_graph=load["optimize_graph"],
            prepack=load["prepack"],
            weights=_weights(document["served"]),
        )
        self.unpacked_start: bool = load["unpacked_start"]
        self.request_elements: int = load.get("request_elements", 0)
        _check_names((*self.files, *self.original_files))
        for expected in self.files.values():
            if not (expected["size"] > 0 and expected["sha256"]):
                raise Mismatch(f"{MANIFEST_FILE} is no manifest: a file without content")
        if self.file not in self.files:
            raise Mismatch(f"{self.file} is none of the files that it was made for")


def served(path: str, *, on_cpu: bool = True) -> Served:
    """What to load for the model at ``path``, by the manifest beside it.

    Without a manifest, and where it does not hold here, that is ``path`` itself; in the second
    case a line in the log says why.

    Args:
        path: of the model.
        on_cpu: whether it runs on the CPU alone.

    Example:
        >>> served("models/digits/digits.onnx").path
        'models/digits/digits.onnx'
    """
    folder, name = os.path.split(path)
    try:
        with open(os.path.join(folder, MANIFEST_FILE), "rb") as file:
            text = file.read()
        return _served(text, folder, name, on_cpu)
    except FileNotFoundError:
        return Served(path)
    except (Mismatch, OSError) as problem:
        log_original_serves(path, str(problem))
        return Served(path)


def or_original(served: Served, use: Callable[[Served], T]) -> T:
    """What ``use`` makes of ``served``, or of the original where that one cannot be loaded.

    Raises:
        ModelNotLoaded: the original cannot be loaded either.
    """
    try:
        return use(served)
    except ModelNotLoaded as error:
        if served.path == served.original:
            raise
        log_original_serves(served.original, str(error))
        return use(Served(served.original))


class Mismatch(Exception):
    """The manifest does not hold here; the text says why."""


def check_files(files: Mapping[str, Mapping[str, Any]], folder: str, *, whole: bool) -> None:
    """Check that the files of a manifest are the ones in ``folder``.

    Args:
        files: size and SHA-256 by name, as in the manifest.
        folder: of the manifest.
        whole: whether to digest every file, instead of the small ones only.

    Raises:
        Mismatch: a file is missing or another one.
    """
    _check_names(files)
    for name, expected in files.items():
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            raise Mismatch(f"{name} is missing")
        size = os.path.getsize(path)
        if size != expected["size"]:
            raise Mismatch(
                f"{name} has {size} bytes and the manifest was made for {expected['size']}"
            )
        digest = _whole_digest if whole else _digest
        if (whole or size <= DIGEST_UP_TO_BYTES) and digest(path) != expected["sha256"]:
            raise Mismatch(f"{name} is not the file that the manifest was made for")


def onnxruntime_version() -> str:
    """The version of onnxruntime that will serve, told without loading it where that can be."""
    from inference_runtime.engine.capi.library import find_library

    try:
        return find_library().rpartition(".so.")[2]
    except NeedsStockEngine:
        import onnxruntime

        return onnxruntime.__version__  # type: ignore[no-any-return]


def instruction_set() -> str:
    """What of this processor's instruction set decides the layout of convolutions.

    Example:
        >>> instruction_set()  # doctest: +SKIP
        'x86_64 avx avx2 avx512f'
    """
    features: set[str] = set()
    try:
        with open(_CPUINFO) as file:
            for line in file:
                if line.startswith(("flags", "Features")):
                    features = set(line.partition(":")[2].split())
                    break
    except OSError:
        pass  # not Linux
    return " ".join([os.uname().machine, *sorted(features & _INSTRUCTION_SETS)])


def log_original_serves(path: str, reason: str) -> None:
    """Say that the model itself serves, and not what its manifest names."""
    from inference_runtime.telemetry import log

    log("WARNING", "the original model serves, unoptimised", model_path=path, reason=reason)


def read_promise(text: bytes, name: str, *, on_cpu: bool) -> Promise | None:
    """What a manifest holds for the model ``name`` beside it; ``None`` if it is of another.

    Args:
        text: of the manifest.
        name: of the model's file.
        on_cpu: whether it runs on the CPU alone.

    Raises:
        Mismatch: it is broken, or made for other circumstances than these.
    """
    from inference_runtime import jsonio

    try:
        document: Any = jsonio.loads(text)
        if document["manifest_version"] != MANIFEST_VERSION:
            raise Mismatch(f"its version is {document['manifest_version']}, not {MANIFEST_VERSION}")
        if document["original"]["file"] != name:
            return None
        _check_circumstances(document, on_cpu)
        return Promise(document)
    except (InferenceError, KeyError, TypeError, ValueError) as error:
        raise Mismatch(f"{MANIFEST_FILE} is no manifest: {error!r}") from error


def _served(text: bytes, folder: str, name: str, on_cpu: bool) -> Served:
    promise = read_promise(text, name, on_cpu=on_cpu)
    path = os.path.join(folder, name)
    if promise is None:
        return Served(path)
    # A fetched model comes without its original where the manifest holds.
    if os.path.exists(path):
        check_files(promise.original_files, folder, whole=False)
    check_files(promise.files, folder, whole=False)
    return Served(
        path,
        os.path.join(folder, promise.file),
        promise.options,
        unpacked_start=promise.unpacked_start,
        request_elements=promise.request_elements,
    )


def _weights(served: Mapping[str, Any]) -> Weights | None:
    """Where the manifest says that the weights are: of a graph that is digested before it loads."""
    weights = served.get("weights")
    if weights is None or served["files"][served["file"]]["size"] > DIGEST_UP_TO_BYTES:
        return None
    from inference_runtime.engine.weights import Weights

    if weights["file"] not in served["files"]:
        raise Mismatch(f"{weights['file']} is none of the files that it was made for")
    return Weights.from_json(weights)


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if os.path.isabs(name) or ".." in name.split("/"):
            raise Mismatch(f"{name} is outside the manifest's folder")


def _check_circumstances(document: Mapping[str, Any], on_cpu: bool) -> None:
    if not on_cpu:
        raise Mismatch("it was optimised and measured on the CPU, and this runs elsewhere too")
    installed = onnxruntime_version()
    if document["onnxruntime"] != installed:
        raise Mismatch(
            f"it was optimised with onnxruntime {document['onnxruntime']}, and this is {installed}"
        )
    needed = document["instruction_set"]
    if needed is not None and needed != instruction_set():
        raise Mismatch(f"it was optimised for {needed!r}, and this is {instruction_set()!r}")


def _digest(path: str) -> str:
    from inference_runtime.sha256 import sha256  # a start without a manifest needs none

    with open(path, "rb") as file:
        return sha256(file.read()).hexdigest()  # type: ignore[no-any-return]


def _whole_digest(path: str) -> str:
    from hashlib import file_digest

    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()
