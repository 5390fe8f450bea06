"""``inference-runtime serve``: HTTP, on this machine or in a container."""

from __future__ import annotations

from inference_runtime.cli.options import MODEL, add_options, given
from inference_runtime.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any, Final

_OPTIONS: Final = {
    **MODEL,
    "INFERENCE_HOST": ("--host", "ADDRESS", "where to listen; 0.0.0.0 in a container"),
    "INFERENCE_PORT": ("--port", "PORT", "the port to listen on; 0 picks a free one"),
}


def add(subparsers: _SubParsersAction[Any]) -> None:
    """Add the sub-command to the parser."""
    parser = subparsers.add_parser("serve", help="serve a model over HTTP", description=__doc__)
    add_options(parser, _OPTIONS)
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> None:
    """Serve until the process is told to stop; see ``start``."""
    start(given(arguments, _OPTIONS))


def start(said: dict[str, str]) -> None:
    """Serve until the process is told to stop.

    Args:
        said: on the command line, by the names of the variables that it comes before.

    Raises:
        InvalidSettings: an option or a variable holds a value that is not allowed, or the address
            cannot be bound.
    """
    settings = Settings.read(arguments=said)
    from inference_runtime.adapters.http.start import serve

    serve(settings)
