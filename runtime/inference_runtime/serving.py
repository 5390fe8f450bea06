"""From settings to a data plane that is ready to answer.

onnxruntime's library loads in a thread from the first lines on; meanwhile the model is found, and
its file mapped and read; and while that is loaded, in another thread, the rest is imported. What is
imported here delays all of it.
"""

from __future__ import annotations

import atexit
import gc
from _thread import start_new_thread  # threading takes as long to import as the rest of this

from inference_runtime import heap
from inference_runtime.engine import selection
from inference_runtime.errors import InferenceError
from inference_runtime.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from inference_runtime.dataplane import DataPlane

    T = TypeVar("T")


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
    return start_host(lambda plane: plane, settings)


def start_host(make: Callable[[DataPlane], T], settings: Settings | None = None) -> T:
    """``start``, and a host that is made while the model loads.

    Args:
        make: makes it, with the data plane that will be ready.
        settings: of this process; read from the environment by default.

    Raises:
        InvalidSettings, ModelNotLoaded: as ``start``; and what ``make`` does.
    """
    collects = gc.isenabled()
    gc.disable()  # modules leave no garbage, and the search for it takes 1.5 ms
    try:
        plane = prepare(settings or Settings.read())
        host = make(plane)
        plane.repository.load_all()
    except InferenceError as error:
        from inference_runtime.telemetry import log_exception

        log_exception("start failed", error, error=error.code, detail=str(error))
        raise
    finally:
        if collects:
            gc.enable()
    return host


def prepare(settings: Settings) -> DataPlane:
    """A data plane whose models are not loaded yet: it answers, and says so.

    Raises:
        ModelNotLoaded: ``MODEL_URI`` names a repository that cannot be listed or holds no model.
    """
    engine = settings.engine if settings.on_cpu else selection.STOCK
    heap.prepare()
    start_new_thread(selection.preload, (engine,))
    # An exit in the middle of the library's start would corrupt its heap and abort: wait for it.
    atexit.register(selection.preload, engine)
    from inference_runtime.loading import Loader

    loader = Loader(settings)
    from inference_runtime.assembly import assemble

    return assemble(settings, loader)
