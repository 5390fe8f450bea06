"""From settings to a data plane that is ready to answer.

The model loads in a thread from the first line on, while the rest is imported: what is imported
here delays both.
"""

from __future__ import annotations

from threading import Thread

from inference_runtime import manifest
from inference_runtime.engine import selection
from inference_runtime.engine.ahead import LoadAhead
from inference_runtime.engine.threads import intra_op_threads, vcpus
from inference_runtime.errors import InferenceError
from inference_runtime.models import find_models, is_remote
from inference_runtime.service import InferenceService
from inference_runtime.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from inference_runtime.dataplane import DataPlane
    from inference_runtime.engine import Engine
    from inference_runtime.models import FoundModel


def start(settings: Settings | None = None) -> DataPlane:
    """Load the model, run it once, and say so in the log.

    Args:
        settings: of this process; read from the environment by default.

    Returns:
        A data plane whose first request is as fast as the next.

    Raises:
        InvalidSettings: an environment variable holds a value that is not allowed.
        ModelNotLoaded: the model is missing, broken, or not servable.
    """
    try:
        plane = prepare(settings or Settings.read())
        plane.repository.load_all()
    except InferenceError as error:
        from inference_runtime.telemetry import log_exception

        log_exception("start failed", error, error=error.code, detail=str(error))
        raise
    return plane


def prepare(settings: Settings) -> DataPlane:
    """A data plane whose models are not loaded yet: it answers, and says so.

    Raises:
        ModelNotLoaded: ``MODEL_URI`` names a repository that cannot be listed or holds no model.
    """
    threads = settings.threads or intra_op_threads(vcpus(settings.lambda_memory_mb))

    if is_remote(settings.model_uri):
        Thread(target=selection.preload, args=(settings.engine,), daemon=True).start()
    models = find_models(settings)
    default = [model for model in models if model.name == models[0].name][-1]

    def load(model: FoundModel, make_room: Callable[[int], None]) -> InferenceService:
        files = model.fetch()
        make_room(files.size)
        engine = manifest.load(files.path, threads, settings.engine)
        return InferenceService(_with_layers(engine, settings), files)

    ahead = LoadAhead(lambda: load(default, lambda _size: None))
    from inference_runtime.assembly import assemble

    return assemble(settings, threads, models, load, ahead)


def _with_layers(engine: Engine, settings: Settings) -> Engine:
    if settings.batching == "off" and not settings.response_cache:
        return engine
    from inference_runtime.engine.layers import add_layers  # few starts need them

    return add_layers(engine, settings)
