"""`cdk-inference prefetch`: download once what later synths need, so that they need no network."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.console import Console

from cdk_inference.artifact import prefetch
from cdk_inference.limits import LAMBDA_DEFAULT_PYTHON, LAMBDA_PYTHON_VERSIONS
from cdk_inference.local.progress import step
from cdk_inference.packages import PackageTarget

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

_DESCRIPTION = """\
Download the wheels of the runtime's dependencies and pack them as Lambda layers, into the cache.

Later synths take them from there and need no network. The layers are for this machine's own
Python, which `cdk-inference local` uses, and for the Lambda Python and architectures named.

  cdk-inference prefetch
  cdk-inference prefetch --python 3.13 --architecture x86_64 aarch64
"""


def register(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``prefetch``."""
    parser = commands.add_parser(
        "prefetch",
        help="download what synths need, for work without a network",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--python",
        choices=LAMBDA_PYTHON_VERSIONS,
        default=LAMBDA_DEFAULT_PYTHON,
        help="Lambda's Python; default: %(default)s",
    )
    parser.add_argument(
        "--architecture",
        nargs="+",
        choices=["x86_64", "aarch64"],
        default=["x86_64"],
        help="Lambda's processors; default: x86_64",
    )
    parser.set_defaults(run=_prefetch)


def _prefetch(options: Namespace) -> int:
    lambdas = [PackageTarget.linux(options.python, machine) for machine in options.architecture]
    console = Console()
    for target in (PackageTarget.host(), *lambdas):
        with step(console, f"Packing layers for Python {target.python_version}, {target.platform}"):
            prefetch([target])
    return 0
