"""``inference-runtime``: finds the sub-command and runs it."""

from __future__ import annotations

import argparse
import sys

from inference_runtime import __version__
from inference_runtime.cli import serve
from inference_runtime.errors import InferenceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

# Each has ``add(subparsers)``, which sets the default ``run`` to what takes the parsed arguments.
_COMMANDS: Final = (serve,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``inference-runtime`` with ``arguments``, those of the process by default.

    Returns:
        The exit code: 0, or 1 after an error, which standard error tells in a sentence.
    """
    parser = argparse.ArgumentParser("inference-runtime", description="Serves an ONNX model.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(subparsers)
    parsed = parser.parse_args(arguments)
    try:
        parsed.run(parsed)
    except InferenceError as error:
        print(f"inference-runtime: {error}", file=sys.stderr)
        return 1
    return 0
