"""The data plane of one process, put together around its engine.

``serving`` imports this module while the model loads: all that a start needs besides the engine
is imported from here.
"""

from __future__ import annotations

from functools import partial

from inference_runtime.dataplane import DataPlane
from inference_runtime.errors import InferenceError
from inference_runtime.heap import give_back
from inference_runtime.repository import Entry, ModelRepository
from inference_runtime.telemetry import Stopwatch, log, process_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.loading import Loader
    from inference_runtime.models import FoundModel
    from inference_runtime.service import InferenceService
    from inference_runtime.settings import Settings


def assemble(settings: Settings, loader: Loader) -> DataPlane:
    """A data plane whose models are not loaded yet.

    Args:
        settings: of this process.
        loader: makes the services; it has begun with the default model's.
    """
    first = [loader.ahead]

    def load_entry(model: FoundModel, entry: Entry) -> InferenceService:
        is_first = bool(first) and entry is repository.default
        watch = Stopwatch(process_start() if is_first else None)
        watch.lap("imports")
        make_room = partial(repository.make_room, entry)
        if is_first:
            service = first.pop()()
            make_room(service.size)
        else:
            with repository.loading:
                service = loader.load(model, make_room)
        watch.lap("load")
        if loader.profile.warms_up:
            _warm_up(service)
            watch.lap("warm_up")
        if not loader.profile.keeps_memory:
            give_back()
        log(
            "INFO", "ready",
            model=model.name, model_version=model.version, threads=loader.threads,
            **watch.milliseconds,
        )  # fmt: skip
        return service

    entries = [
        Entry(model.name, model.version, partial(load_entry, model)) for model in loader.models
    ]
    repository = ModelRepository(entries, settings.memory_cache_bytes)
    return DataPlane(repository, settings)


def _warm_up(service: InferenceService) -> None:
    try:
        service.warm_up()
    except InferenceError as error:
        log("WARNING", "warm-up skipped", detail=str(error))
