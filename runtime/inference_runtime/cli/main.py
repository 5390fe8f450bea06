"""``inference-runtime``: finds the sub-command and runs it."""

from __future__ import annotations

import sys

from inference_runtime.errors import InferenceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

# Modules of this package, of which an artifact has only those that serve. Each has
# ``add(subparsers)``, which sets the default ``run`` to what takes the parsed arguments.
_PACKAGE: Final = "inference_runtime.cli"
_COMMANDS: Final = ("batch", "fetch", "inspect", "optimize", "serve")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``inference-runtime`` with ``arguments``, those of the process by default.

    Returns:
        The exit code: 0; 1 after an error, which standard error tells in a sentence; 130 after
        Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    run = _serve if arguments == ["serve"] else _parsed(arguments)
    try:
        run()
    except InferenceError as error:
        print(f"inference-runtime: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("inference-runtime: interrupted", file=sys.stderr)
        return 130
    return 0


def _serve() -> None:
    """As containers do: without an option there is nothing to parse, and argparse takes 7 ms."""
    from inference_runtime.cli.serve import start

    start({})


def _parsed(arguments: Sequence[str]) -> Callable[[], Any]:
    """What the arguments ask for; argparse ends the process where they ask for help, or nothing."""
    import argparse
    from importlib import import_module

    from inference_runtime import __version__

    parser = argparse.ArgumentParser("inference-runtime", description="Serves an ONNX model.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _named(arguments):
        import_module(f"{_PACKAGE}.{command}").add(subparsers)
    parsed = parser.parse_args(arguments)
    return lambda: parsed.run(parsed)


def _named(arguments: Sequence[str]) -> Sequence[str]:
    """The sub-command that is asked for, so that serving imports no other; all, for the help."""
    from importlib.util import find_spec

    first = arguments[0] if arguments else ""
    there = [command for command in _COMMANDS if find_spec(f"{_PACKAGE}.{command}")]
    return [first] if first in there else there
