"""Where a server of this process listens."""

from __future__ import annotations

import socket

from inference_runtime.errors import InvalidSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Connections that the kernel keeps while the server is busy, or not there yet.
_BACKLOG: Final = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InvalidSettings: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual_stack = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=dual_stack
        )
    except OSError as error:
        raise InvalidSettings(
            f"cannot listen on {host} port {port}: {error.strerror}; name another with --host and"
            " --port"
        ) from error
