"""`cdk-inference local run-service`: run a Cloud Run service here, until Ctrl-C."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cdk_inference.local import LocalError, running_service
from cdk_inference.local.progress import step

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

    from cdk_inference.local import RunningService

_DESCRIPTION = """\
Run a Cloud Run service of a synthesized Terraform stack on this machine, until Ctrl-C.

Each container's command runs as a process with the container's environment, port and volumes; in
front are the service's startup probe, concurrency limit and timeout. No Docker, no account.

SERVICE is the construct's path in the stack, or the service's name.

  python3 app.py                                            synthesize into cdktf.out
  cdk-inference local run-service CloudRunStack Digits
  cdk-inference local run-service Shop Digits --port 8080 --secret API_KEY=none
"""


def register(actions: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``run-service`` to ``local``."""
    parser = actions.add_parser(
        "run-service",
        help="run a Cloud Run service here",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stack", metavar="STACK", help="the name of its stack")
    parser.add_argument("service", metavar="SERVICE", help="its construct's path, or its name")
    parser.add_argument("--folder", default="cdktf.out", help="what was synthesized; %(default)s")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="the value (or @FILE) of a variable that Secret Manager would give, or of a secret"
        " that is a file; may be repeated",
    )
    parser.set_defaults(run=_run)


def _run(options: Namespace) -> int:
    console = Console(highlight=False)
    with ExitStack() as stack:
        with step(console, f"Starting {options.service} of {options.stack}"):
            service = stack.enter_context(
                running_service(
                    options.stack,
                    options.service,
                    assembly=Path(options.folder),
                    port=options.port,
                    secrets=dict(map(_pair, options.secret)),
                )
            )
        for line in _description(service):
            console.print(line, markup=False, soft_wrap=True)
        with suppress(KeyboardInterrupt):
            while True:
                service.check()
                time.sleep(1)
    return 0


def _pair(argument: str) -> tuple[str, str]:
    name, separator, value = argument.partition("=")
    if not separator:
        raise LocalError(
            f"--secret {argument} has no value: write it as NAME=VALUE, or NAME=@FILE."
        )
    if value.startswith("@"):
        try:
            return name, Path(value[1:]).read_text()
        except OSError as error:
            raise LocalError(f"--secret {argument} cannot be read: {error.strerror}.") from error
    return name, value


def _description(service: RunningService) -> list[str]:
    logs = [f"Log of {container}: {log}" for container, log in service.logs.items()]
    return [f"Service: {service.url}", *service.notes, *logs, "Stop it with Ctrl-C."]
