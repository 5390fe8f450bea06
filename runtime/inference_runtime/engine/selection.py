"""Which engine runs a model: ``capi`` wherever it can, ``stock`` otherwise."""

from __future__ import annotations

from inference_runtime.engine.capi import NeedsStockEngine
from inference_runtime.engine.capi.library import load_library
from inference_runtime.engine.options import DEFAULT_OPTIONS
from inference_runtime.errors import ModelNotLoaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from inference_runtime.engine import Engine
    from inference_runtime.engine.options import LoadOptions
    from inference_runtime.engine.providers import Providers

AUTO: Final = "auto"
CAPI: Final = "capi"
STOCK: Final = "stock"


def load(
    path: str,
    threads: int,
    choice: str = AUTO,
    options: LoadOptions = DEFAULT_OPTIONS,
    providers: Providers | None = None,
) -> Engine:
    """Load a model into the engine that fits it.

    Args:
        path: the ONNX file; external data are found beside it.
        threads: threads of one run.
        choice: ``capi`` or ``stock`` for that engine and no other. ``auto``, the default, takes
            ``capi`` for models of tensors on a tested version of onnxruntime, and says in the log
            why where it takes ``stock``.
        options: how the session is made.
        providers: what it runs on; ``stock`` alone has others than the CPU. Default: the CPU.

    Raises:
        ModelNotLoaded: the file cannot be read, is no model that can be served, or the chosen
            engine or ``providers`` cannot serve it here.

    Example:
        >>> engine = load("models/digits/digits.onnx", threads=1)  # doctest: +SKIP
    """
    if providers is not None and choice == CAPI:
        raise ModelNotLoaded(
            "INFERENCE_ENGINE is 'capi', which runs on the CPU alone, and INFERENCE_PROVIDERS names"
            " more: take the engine 'auto' or 'stock', or the provider 'cpu' alone"
        )
    if providers is None and choice != STOCK:
        from inference_runtime.engine.capi.session import CapiEngine  # after the library's start

        try:
            return CapiEngine(path, threads, options)
        except NeedsStockEngine as reason:
            if choice == CAPI:
                raise ModelNotLoaded(f"{path} cannot be served by capi: {reason}") from reason
            _log_choice(str(reason))
    return _load_stock(path, threads, options, providers)


def preload(choice: str = AUTO) -> None:
    """Load what the engine needs besides a model, while that is not there yet.

    Args:
        choice: as for ``load``, which also tells of what fails here.
    """
    try:
        if choice == STOCK:
            from inference_runtime.engine import stock  # noqa: F401
        else:
            load_library()
    except (NeedsStockEngine, ImportError):
        return


def _load_stock(
    path: str, threads: int, options: LoadOptions, providers: Providers | None
) -> Engine:
    try:
        from inference_runtime.engine.stock import StockEngine
    except ImportError as error:
        raise ModelNotLoaded(
            f"{path} needs the stock engine, but the packages onnxruntime and numpy are not"
            f" installed: {error}"
        ) from error
    return StockEngine(path, threads, options, providers)


def _log_choice(reason: str) -> None:
    from inference_runtime.telemetry import log  # imports JSON's writer, so only where it is used

    log("WARNING", "the stock engine serves this model, at several times the start time: " + reason)
