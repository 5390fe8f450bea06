"""The server, uvicorn, and how it stops: with every request answered, within 10 s.

docs/decisions/002-http-server.md tells why it is uvicorn.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import contextmanager, suppress
from ctypes import addressof, create_string_buffer
from socket import SOL_SOCKET
from struct import pack

from inference_runtime.adapters.azure_functions import AzureFunctions
from inference_runtime.adapters.http.application import Application
from inference_runtime.adapters.http.connection import Connection
from inference_runtime.adapters.http.lean_uvicorn import Config, Server
from inference_runtime.endpoints.sagemaker import SageMakerEndpoints
from inference_runtime.endpoints.vertex import VertexEndpoints
from inference_runtime.errors import NotReady
from inference_runtime.telemetry import log, log_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from socket import socket
    from ssl import SSLContext
    from types import FrameType
    from typing import Final

    from inference_runtime.dataplane import DataPlane
    from inference_runtime.settings import Settings

# For the server to accept the connections that the kernel has let in already.
_ACCEPT_SECONDS: Final = 0.1
# Clients that keep their connection have sent their next request by then, and learn in its answer
# that it was the last one.
LINGER_SECONDS: Final = 0.5
# Cloud Run kills 10 s after SIGTERM
# (https://cloud.google.com/run/docs/container-contract#instance-shutdown), so that what still runs
# is ended, and answered, before.
END_RUNS_AFTER_SECONDS: Final = 8.0
_CLOSE_ALL_AFTER_SECONDS: Final = 9
# asm-generic/socket.h and linux/bpf_common.h
_SO_ATTACH_FILTER: Final = 26
_BPF_RETURN: Final = 0x06


def run(plane: DataPlane, settings: Settings, listener: socket) -> None:
    """Serve until a signal, and then until every request is answered.

    Raises:
        InvalidSettings: the certificate or its key cannot be used.
    """
    plane.add_routes(SageMakerEndpoints(plane).routes())
    plane.add_routes(VertexEndpoints(plane).routes())
    logging.getLogger("uvicorn").addHandler(_LogLines(logging.WARNING))
    Connection.read_timeout_seconds = settings.read_timeout_seconds
    on_azure = settings.azure_functions_port is not None
    application = Application(AzureFunctions(plane) if on_azure else plane, settings)
    config = Config(
        application,
        http=Connection,
        loop="auto",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=_CLOSE_ALL_AFTER_SECONDS,
        ssl_context_factory=_context_factory(settings),
    )
    DrainingServer(config, application).run([listener])


def _context_factory(settings: Settings) -> Callable[[Config, object], SSLContext] | None:
    if not settings.tls_certificate:
        return None
    from inference_runtime.adapters.http.tls import server_context  # 26 ms, for those who want it

    context = server_context(settings.tls_certificate, settings.tls_key)
    return lambda _config, _default: context


class DrainingServer(Server):
    """uvicorn, except for how it stops.

    The first SIGTERM or SIGINT begins the end: the server listens no more, connections that there
    are may send a request for a moment yet, each answer closes its connection, and then the server
    waits for what runs. What does not end in time is ended, and answered with 503. A second signal
    ends the process at once.

    Args:
        config: uvicorn's.
        application: what it serves.
    """

    def __init__(self, config: Config, application: Application) -> None:
        super().__init__(config)
        self._application = application

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take over both signals; uvicorn would raise them again after a clean end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        log("INFO", "listening", host=host, port=port)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Answer what has come, refuse what comes."""
        log("INFO", "stopping")
        self._application.draining = True
        stopping = NotReady("the server is stopping; send the request again")
        asyncio.get_running_loop().call_later(
            END_RUNS_AFTER_SECONDS, self._application.scheduler.end_all, stopping
        )
        await self._stop_listening(sockets or [])
        await asyncio.sleep(LINGER_SECONDS)
        await super().shutdown(sockets)
        log("INFO", "stopped")

    async def _stop_listening(self, sockets: list[socket]) -> None:
        """Closing a socket resets the connections that wait to be accepted: let in no more first,
        and accept those.
        """
        for listener in sockets:
            _ignore_newcomers(listener)
        await asyncio.sleep(_ACCEPT_SECONDS)
        for server in self.servers:
            server.close()

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(128 + number)
        self.should_exit = True


def _ignore_newcomers(listener: socket) -> None:
    """Have the kernel drop what is sent to a listening socket; its connections are not touched.

    The filter is a program of one instruction, "return 0": of each packet, keep no byte.
    https://docs.kernel.org/networking/filter.html
    """
    instruction = create_string_buffer(pack("HBBI", _BPF_RETURN, 0, 0, 0))
    program = pack("HP", 1, addressof(instruction))
    with suppress(OSError):  # Elsewhere than on Linux, a connection of the last moment is reset.
        listener.setsockopt(SOL_SOCKET, _SO_ATTACH_FILTER, program)


class _LogLines(logging.Handler):
    """uvicorn's warnings as lines of our log."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            log(record.levelname, record.getMessage(), logger=record.name)
        else:
            log_exception(record.getMessage().strip(), error, logger=record.name)
