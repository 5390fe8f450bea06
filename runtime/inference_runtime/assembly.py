"""The data plane of one process, put together around its engine.

``serving`` imports this module while the model loads: all that a start needs besides the engine
is imported from here.
"""

from __future__ import annotations

from inference_runtime.dataplane import DataPlane
from inference_runtime.errors import InferenceError
from inference_runtime.repository import Entry, ModelRepository
from inference_runtime.service import InferenceService
from inference_runtime.telemetry import Stopwatch, log, process_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from inference_runtime.engine import Engine
    from inference_runtime.settings import Settings


def assemble(settings: Settings, threads: int, load_engine: Callable[[], Engine]) -> DataPlane:
    """A data plane whose model is not loaded yet.

    Args:
        settings: of this process.
        threads: of one run, for the log.
        load_engine: called whenever the model is to be loaded.
    """

    starts = [process_start()]  # of the process for the first load, of the load for any later one

    def load() -> InferenceService:
        watch = Stopwatch(starts.pop() if starts else None)
        watch.lap("imports")
        service = InferenceService(load_engine())
        watch.lap("load")
        _warm_up(service)
        watch.lap("warm_up")
        log(
            "INFO", "ready",
            model=settings.model_name, model_version=settings.model_version, threads=threads,
            **watch.milliseconds,
        )  # fmt: skip
        return service

    entry = Entry(settings.model_name, settings.model_version, load)
    return DataPlane(ModelRepository([entry]), settings)


def _warm_up(service: InferenceService) -> None:
    try:
        service.warm_up()
    except InferenceError as error:
        log("WARNING", "warm-up skipped", detail=str(error))
