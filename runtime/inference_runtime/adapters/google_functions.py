"""Google Cloud Functions, and whatever else runs the Functions Framework for Python.

The framework looks for the function in a file, so the deployed ``main.py`` is one line:
``from inference_runtime.adapters.google_functions import handler``. The model is loaded when it is
imported; a bad setting or model ends the start.
"""

from __future__ import annotations

from urllib.parse import quote

from inference_runtime.messages import Request
from inference_runtime.serving import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    import flask

# https://cloud.google.com/functions/docs/monitoring/logging
_EXECUTION_ID: Final = "function-execution-id"

PLANE = start()


def handler(request: flask.Request) -> tuple[bytes, int, dict[str, str]]:
    """Answer one request.

    Args:
        request: Flask's.

    Returns:
        Body, status and headers.

    Example:
        >>> handler(request)  # POST /predict {"features": [1, 2, 3]}
        (b'{"predictions":6.0,"model_version":"1"}', 200, {'content-type': 'application/json'})
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    # The server leaves the body out of the answer to HEAD.
    method = "GET" if request.method == "HEAD" else request.method
    path = quote(request.path, safe="/:")
    request_id = headers.get(_EXECUTION_ID, "")
    reply = PLANE.handle(Request(method, path, headers, request.get_data(), request_id))
    return reply.body, reply.status, reply.headers
