"""`cdk-inference`: finds the command, runs it, and turns a user's error into one sentence."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from cdk_inference.cli import local, prefetch
from cdk_inference.errors import PackagingError
from cdk_inference.local.errors import LocalError
from cdk_inference.local.processes import end_on_signals
from cdk_inference.validation import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments``; those of the process when left out.

    Returns:
        The exit code: 0, 1 for an error that the message explains, 2 for a wrong command line,
        130 when interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="cdk-inference",
        description="Serverless inference of ONNX models with the AWS CDK.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (local, prefetch):
        command.register(commands)
    options = parser.parse_args(arguments)
    end_on_signals()
    try:
        exit_code: int = options.run(options)
    except (LocalError, PackagingError, ConfigurationError) as error:
        print(f"cdk-inference: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cdk-inference: interrupted", file=sys.stderr)
        return 130
    return exit_code
