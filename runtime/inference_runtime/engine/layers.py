"""What may stand between service and engine: batching and cached answers, each by its setting."""

from __future__ import annotations

from inference_runtime.telemetry import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.engine import Engine
    from inference_runtime.settings import Settings


def add_layers(engine: Engine, settings: Settings) -> Engine:
    """``engine``, with the layers that ``settings`` ask for around it.

    Raises:
        InvalidSettings: a layer's client is not installed.
    """
    if settings.batching != "off":
        engine = _add_batching(engine, settings)
    if settings.response_cache:
        from inference_runtime.engine.caching import CachingEngine, create_store

        engine = CachingEngine(engine, create_store(settings), settings.model_sha256)
    return engine


def _add_batching(engine: Engine, settings: Settings) -> Engine:
    from inference_runtime import fusion
    from inference_runtime.engine.batching import BatchingEngine, is_exact

    if not fusion.can_fuse(engine.signature):
        log("WARNING", "batching is off", detail="the model does not take any number of rows")
        return engine
    if settings.batching == "exact" and not is_exact(engine):
        log("WARNING", "batching is off", detail="rows run together differ from rows run alone")
        return engine
    return BatchingEngine(engine, settings.batch_rows)
