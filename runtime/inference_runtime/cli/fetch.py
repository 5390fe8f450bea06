"""``inference-runtime fetch``: have the model in the cache before a server starts."""

from __future__ import annotations

from inference_runtime.cli.options import MODEL, add_options, given
from inference_runtime.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any, Final, NoReturn

_OPTIONS: Final = {"MODEL_URI": MODEL["MODEL_URI"]}

_DESCRIPTION = """\
Fetch the model that MODEL_URI names into INFERENCE_CACHE_DIR, whole and checked. A server with the
same settings then finds it there.

  inference-runtime fetch --model gs://my-models/digits/3/model.onnx
  inference-runtime fetch --stay    beside the server: exist, and listen on INFERENCE_PORT, once
                                    the model is there
"""


def add(subparsers: _SubParsersAction[Any]) -> None:
    """Add the sub-command to the parser."""
    from argparse import RawDescriptionHelpFormatter

    parser = subparsers.add_parser(
        "fetch",
        help="have the model in the cache",
        description=_DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_options(parser, _OPTIONS)
    parser.add_argument(
        "--stay",
        action="store_true",
        help="then accept connections on INFERENCE_PORT until told to stop, which is how a startup"
        " probe sees that the model is there",
    )
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> None:
    """Fetch every model that there is.

    Raises:
        InvalidSettings: a variable holds a value that is not allowed, or the port is taken.
        ModelNotLoaded: a model cannot be had or stored, or is not what it should be.
    """
    from inference_runtime.models import find_models

    settings = Settings.read(arguments=given(arguments, _OPTIONS))
    settings.loads_models = False
    # As long as they are referred to, nobody else removes them from the cache.
    fetched = [model.fetch() for model in find_models(settings)]
    if arguments.stay:
        _stay(settings, fetched)


def _stay(settings: Settings, _fetched: object) -> NoReturn:
    import signal
    import sys

    from inference_runtime.adapters.http.listener import listen
    from inference_runtime.telemetry import log

    # The first process of a container does not end by a signal that it has no handler for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    listener = listen(settings.host, settings.port)
    log("INFO", "listening", host=settings.host, port=listener.getsockname()[1])
    while True:
        listener.accept()[0].close()
