"""Lambda's Extensions API, as much of it as an extension needs to exist.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from inference_runtime.adapters.lambda_connection import Connection

EXTENSION: Final = "/2020-01-01/extension"
NEXT_EVENT: Final = f"{EXTENSION}/event/next"

_IDENTIFIER = "lambda-extension-identifier"


class ExtensionRefused(Exception):
    """Lambda takes no such extension; the text is its answer."""


def register(connection: Connection, name: str, events: bytes) -> dict[str, str]:
    """Register an extension.

    Args:
        connection: to the Extensions API.
        name: of an external one, its file's in ``/opt/extensions``.
        events: that it wants, a JSON array.

    Returns:
        The headers with which it asks for its next event.

    Raises:
        ExtensionRefused: it is not registered.
    """
    headers = {"content-type": "application/json", "lambda-extension-name": name}
    body = b'{"events":%b}' % events
    response = connection.call("POST", f"{EXTENSION}/register", headers, body)
    if response.status != 200:
        raise ExtensionRefused(f"{response.status} {response.body[:500].decode(errors='replace')}")
    return {_IDENTIFIER: response.headers[_IDENTIFIER]}
