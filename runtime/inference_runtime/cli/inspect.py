"""``inference-runtime inspect``: what a model takes and gives, what is in it, and what it needs."""

from __future__ import annotations

import argparse

from inference_runtime.errors import InvalidSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DESCRIPTION = """\
Show a model's inputs and outputs, opset, size, operators, metadata and external data, the memory
and the engine that serving it takes, and requests to copy.

  inference-runtime inspect models/digits/digits.onnx

Beside a manifest.json of `optimize`, its files are checked against their digests, and what serves
here is told.
"""


def add(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the sub-command to the parser."""
    parser = subparsers.add_parser(
        "inspect",
        help="show a model's signature, operators and size, and requests to copy",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="an .onnx file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print what is known of the model.

    Raises:
        InvalidSettings: the extra ``optimize`` is not installed.
        NotOptimized: the file is missing or no model.
    """
    try:
        from rich.console import Console

        from inference_runtime.optimize import inspection
    except ImportError as error:
        raise InvalidSettings(
            f"{error}; `inspect` needs an extra: pip install 'inference-runtime[optimize]'"
        ) from error
    inspection.show(inspection.inspect_model(arguments.model), Console())
