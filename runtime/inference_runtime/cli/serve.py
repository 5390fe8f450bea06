"""``inference-runtime serve``: HTTP, on this machine or in a container."""

from __future__ import annotations

from inference_runtime.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any, Final

# Each option is a variable of `settings` too; what is said here comes first.
_OPTIONS: Final = {
    "MODEL_URI": ("--model", "PATH_OR_URI", "the ONNX model"),
    "MODEL_NAME": ("--name", "NAME", "the model's name in paths, answers and logs"),
    "MODEL_VERSION": ("--version", "VERSION", "the model's version"),
    "INFERENCE_HOST": ("--host", "ADDRESS", "where to listen; 0.0.0.0 in a container"),
    "INFERENCE_PORT": ("--port", "PORT", "the port to listen on; 0 picks a free one"),
}


def add(subparsers: _SubParsersAction[Any]) -> None:
    """Add the sub-command to the parser."""
    parser = subparsers.add_parser("serve", help="serve a model over HTTP", description=__doc__)
    for variable, (option, value, text) in _OPTIONS.items():
        parser.add_argument(option, dest=variable, metavar=value, help=f"{text} (${variable})")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> None:
    """Serve until the process is told to stop.

    Raises:
        InvalidSettings: an option or a variable holds a value that is not allowed, or the address
            cannot be bound.
    """
    said = vars(arguments)
    given = {name: said[name] for name in _OPTIONS if said[name] is not None}
    settings = Settings.read(arguments=given)
    from inference_runtime.adapters.http.server import serve

    serve(settings)
