"""How the HTTP host starts: it binds at once, and answers 503 until the model is loaded."""

from __future__ import annotations

import os
from threading import Thread

from inference_runtime import jsonio, serving
from inference_runtime.adapters.http.listener import listen
from inference_runtime.errors import InferenceError
from inference_runtime.telemetry import log_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from inference_runtime.adapters.http.scheduler import Plane
    from inference_runtime.dataplane import DataPlane
    from inference_runtime.settings import Settings


def serve(settings: Settings) -> NoReturn:
    """Serve HTTP until SIGTERM or SIGINT, and end the process: with exit code 0 once all requests
    are answered, with 1 and the error in the log when the model cannot be loaded.

    Raises:
        InvalidSettings: the address cannot be bound, or the certificate or its key not be used.
    """
    listener = listen(settings.host, settings.port)
    secure = None
    if settings.tls_certificate:  # Before there are threads, which an error would have to end.
        from inference_runtime.adapters.http.tls import tls_wrapper  # few want its 26 ms

        secure = tls_wrapper(settings.tls_certificate, settings.tls_key)
    plane = serving.prepare(settings)
    Thread(target=_load, args=(plane,), name="load", daemon=True).start()
    # Imported only now, while the model loads.
    from inference_runtime.adapters.http.server import Server

    Server(_host_plane(plane, settings), settings, listener, secure).run()
    plane.close()
    # Without a wait for threads: a run that an operator does not give up may take its time.
    os._exit(0)


def _host_plane(plane: DataPlane, settings: Settings) -> Plane:
    """``plane`` with the paths of the platforms that start this host, and Azure's envelopes."""
    from inference_runtime.endpoints.sagemaker import SageMakerEndpoints
    from inference_runtime.endpoints.vertex import VertexEndpoints

    plane.add_routes(SageMakerEndpoints(plane).routes())
    plane.add_routes(VertexEndpoints(plane).routes())
    if settings.azure_functions_port is None:
        return plane
    from inference_runtime.adapters.azure_functions import AzureFunctions

    return AzureFunctions(plane)


def _load(plane: DataPlane) -> None:
    try:
        plane.repository.load_all()
    except BaseException as error:
        code = getattr(error, "code", InferenceError.code)
        log_exception("start failed", error, error=code, detail=str(error))
        os._exit(1)  # Nothing is served yet, and sys.exit would end this thread alone.
    jsonio.import_orjson()  # 16 ms, which the first answer need not wait for.
