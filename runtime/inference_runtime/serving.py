"""From settings to a data plane that is ready to answer."""

from __future__ import annotations

import os
import sys

from inference_runtime.dataplane import DataPlane
from inference_runtime.engine.selection import load as load_engine
from inference_runtime.engine.threads import intra_op_threads, vcpus
from inference_runtime.errors import InferenceError, ModelNotLoaded
from inference_runtime.repository import Entry, ModelRepository
from inference_runtime.service import InferenceService
from inference_runtime.settings import Settings
from inference_runtime.telemetry import Stopwatch, log, log_exception, process_start


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
        log_exception("start failed", error, error=error.code, detail=str(error))
        raise
    return plane


def prepare(settings: Settings) -> DataPlane:
    """A data plane whose models are not loaded yet: it answers, and says so."""

    def load() -> InferenceService:
        return _load(settings)

    entry = Entry(settings.model_name, settings.model_version, load)
    return DataPlane(ModelRepository([entry]), settings)


def _load(settings: Settings) -> InferenceService:
    watch = Stopwatch(process_start())
    watch.lap("imports")
    threads = settings.threads or intra_op_threads(vcpus(settings.lambda_memory_mb))
    engine = load_engine(find_model(settings.model_uri), threads, settings.engine)
    watch.lap("load")
    service = InferenceService(engine)
    _warm_up(service)
    watch.lap("warm_up")
    log(
        "INFO", "ready",
        model=settings.model_name, model_version=settings.model_version, threads=threads,
        **watch.milliseconds,
    )  # fmt: skip
    return service


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


def _warm_up(service: InferenceService) -> None:
    try:
        service.warm_up()
    except InferenceError as error:
        log("WARNING", "warm-up skipped", detail=str(error))
