"""From settings to a data plane that is ready to answer.

The model loads in a thread from the first line on, while the rest is imported: what is imported
here delays both.
"""

from __future__ import annotations

import os
import sys

from inference_runtime import manifest
from inference_runtime.engine.ahead import LoadAhead
from inference_runtime.engine.threads import intra_op_threads, vcpus
from inference_runtime.errors import InferenceError, ModelNotLoaded
from inference_runtime.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.dataplane import DataPlane
    from inference_runtime.engine import Engine


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
    """A data plane whose models are not loaded yet: it answers, and says so."""
    threads = settings.threads or intra_op_threads(vcpus(settings.lambda_memory_mb))

    def load() -> Engine:
        return manifest.load(find_model(settings.model_uri), threads, settings.engine)

    engine = LoadAhead(load)
    from inference_runtime.assembly import assemble

    return assemble(settings, threads, engine)


def find_model(uri: str) -> str:
    """The path of the model file that ``uri`` names.

    Args:
        uri: a ``file://`` URI, an absolute path, or a path relative to the working directory or
            to an entry of ``sys.path``.

    Raises:
        ModelNotLoaded: there is no such file; the message lists where it was looked for.
    """
    path = uri.removeprefix("file://")
    folders = [""] if os.path.isabs(path) else [os.getcwd(), *sys.path]
    candidates = [os.path.join(folder, path) for folder in folders]
    for candidate in candidates:
        if os.path.isfile(candidate):
            return candidate
    raise ModelNotLoaded(f"MODEL_URI is {uri!r}, but there is no file {' or '.join(candidates)}")
