"""From settings to a data plane that is ready to answer.

onnxruntime's library loads in a thread from the first line on; meanwhile the model is found, and
its file mapped and read; and while that is loaded, in another thread, the rest is imported. What is
imported here delays all of it.
"""

from __future__ import annotations

from threading import Thread

from inference_runtime.engine import selection
from inference_runtime.errors import InferenceError
from inference_runtime.models.memory import use_one_heap
from inference_runtime.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.dataplane import DataPlane


def start(settings: Settings | None = None) -> DataPlane:
    """Load the model, run it once, and say so in the log.

    Args:
        settings: of this process; read from the environment by default.

    Returns:
        A data plane whose first request is as fast as the next.

    Raises:
        InvalidSettings: an environment variable holds a value that is not allowed.
        ModelNotLoaded: the model is missing, broken, or not servable.

    Example:
        >>> plane = start(Settings.read({"MODEL_URI": "models/digits/digits.onnx"}))
        >>> plane.handle(Request("GET", "/health", {}, b"", "1")).status
        200
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
    engine = settings.engine if settings.on_cpu else selection.STOCK
    use_one_heap()
    # No daemon: an exit in the middle of the library's start would corrupt its heap and abort.
    Thread(target=selection.preload, args=(engine,)).start()
    from inference_runtime.loading import Loader

    loader = Loader(settings)
    from inference_runtime.assembly import assemble

    return assemble(settings, loader)
