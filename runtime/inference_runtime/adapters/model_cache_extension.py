"""An external extension of AWS Lambda that fetches the model while the runtime is imported.

``python -m inference_runtime.adapters.model_cache_extension NAME``, NAME being that of the file in
``/opt/extensions`` that Lambda started. Lambda starts the runtime once this has registered, and
ends the INIT phase once this has asked for its first event: when the model is there.

It fills the very cache on disk that the runtime looks into (``models.cache``). Whoever comes second
finds the first one's lock, waits, and then finds the files whole. So nothing depends on who is
faster, nor on this process: where it cannot fetch, the runtime tries, and tells Lambda why not.
"""

from __future__ import annotations

import sys

from inference_runtime.adapters.lambda_connection import Connection
from inference_runtime.adapters.lambda_extensions_api import NEXT_EVENT, register
from inference_runtime.settings import runtime_api_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Not INVOKE: with that, every answer would wait for this process to ask for its next event.
_EVENTS: Final = b'["SHUTDOWN"]'


def main(name: str) -> None:
    """Register, fetch the model, and exist until Lambda ends the environment.

    Args:
        name: the extension's.

    Raises:
        ExtensionRefused: Lambda does not take it.
        ConnectionError: the Extensions API is gone.
    """
    connection = Connection(runtime_api_address())
    identity = register(connection, name, _EVENTS)
    _fetch()
    while _next_event(connection, identity) != "SHUTDOWN":
        pass


def _fetch() -> None:
    # The runtime waits for the registration: whatever is not needed for that is imported here.
    from inference_runtime.models import find_models
    from inference_runtime.settings import Settings
    from inference_runtime.telemetry import log_exception

    try:
        for model in find_models(Settings.read()):
            model.fetch()
    except Exception as error:
        log_exception("model not fetched ahead; the runtime tries itself", error, detail=str(error))


def _next_event(connection: Connection, identity: dict[str, str]) -> object:
    from inference_runtime import jsonio

    event = jsonio.loads(connection.call("GET", NEXT_EVENT, identity).body)
    return event.get("eventType") if isinstance(event, dict) else None


if __name__ == "__main__":
    main(sys.argv[1])
