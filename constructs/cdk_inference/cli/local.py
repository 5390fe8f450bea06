"""`cdk-inference local`: deploy to the emulator, ask what is deployed, stop it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cdk_inference.cli import run_service
from cdk_inference.local import (
    WORK_FOLDER,
    Emulator,
    LocalError,
    deploy,
    find,
    invoke,
    local_url,
    outputs,
    recorded,
    start,
)

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

_DESCRIPTION = """\
Deploy any CDK app to an AWS emulator on this machine: no account, no Docker.

  cdk-inference local deploy                  deploy the app of cdk.json
  cdk-inference local invoke ApiUrl/predict --data '{"features": [1, 2, 3]}'
  cdk-inference local status                  what runs, and the outputs of what is deployed
  cdk-inference local down                    stop the emulator; what is deployed goes with it
  cdk-inference local run-service STACK NAME  run a Cloud Run service of a Terraform stack

Everything is kept in .cdk-inference/ in the working directory.
"""

_DEPLOY = """\
Start the emulator unless it runs, then synthesize, bootstrap and deploy with the real CDK CLI.

Resources of types that the emulator does not know are left out and listed. The app sees the
context value cdk-inference:local; your AWS credentials and profiles are not used.

  cdk-inference local deploy
  cdk-inference local deploy --app "python3 app.py" MyStack
"""

_INVOKE = """\
Send a request to something deployed, and print the answer.

TARGET is an output (Name or Stack.Name) or a function's name or ARN. An output that is a URL gets
a POST; a path may follow its name. A function is invoked with the data as its event.

  cdk-inference local invoke ApiUrl/predict --data '{"features": [1, 2, 3]}'
  cdk-inference local invoke FunctionArn --data @event.json
"""


def register(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``local`` and its sub-commands."""
    parser = _add(commands, "local", "deploy a CDK app to an emulator here", _DESCRIPTION)
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    deploying = _add(actions, "deploy", "deploy the app, start the emulator if need be", _DEPLOY)
    deploying.add_argument("stacks", metavar="STACK", nargs="*", help="default: all stacks")
    deploying.add_argument("--app", help="the command that runs the app; default: cdk.json's")
    deploying.add_argument("--port", type=int, help="the emulator's port; default: a free one")
    deploying.set_defaults(run=_deploy)

    invoking = _add(actions, "invoke", "send a request to what is deployed", _INVOKE)
    invoking.add_argument("target", metavar="TARGET", help="an output, a function or its ARN")
    invoking.add_argument("--data", default="{}", help="the body, or @FILE; default: {}")
    invoking.set_defaults(run=_invoke)

    run_service.register(actions)
    _add(actions, "status", "show what runs and its outputs").set_defaults(run=_status)
    _add(actions, "down", "stop the emulator").set_defaults(run=_down)


def _add(
    commands: _SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    description: str | None = None,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _deploy(options: Namespace) -> int:
    console = Console()
    emulator = recorded(WORK_FOLDER)
    if emulator is not None and emulator.is_alive():
        _require_port(emulator, options.port)
        deploy(emulator, console=console, app=options.app, stacks=options.stacks)
    else:
        if emulator is not None:
            console.print(f"The emulator on port {emulator.port} has died: starting a new one.")
        emulator = start(WORK_FOLDER, port=options.port)
        try:
            deploy(emulator, console=console, app=options.app, stacks=options.stacks)
        except BaseException:
            emulator.stop()
            raise
    _show(console, emulator)
    return 0


def _require_port(emulator: Emulator, port: int | None) -> None:
    if port not in (None, emulator.port):
        raise LocalError(
            f"The emulator already runs, on port {emulator.port}: leave --port out, or stop it"
            " first with `cdk-inference local down`."
        )


def _invoke(options: Namespace) -> int:
    reply = invoke(find(WORK_FOLDER), options.target, _data(options.data))
    sys.stdout.buffer.write(reply.body + b"\n")
    sys.stdout.flush()
    failure = f", {reply.function_error} error of the function" if reply.function_error else ""
    print(f"status {reply.status}{failure}, {reply.seconds * 1000:.0f} ms", file=sys.stderr)
    return 0 if reply.ok else 1


def _data(argument: str) -> bytes:
    if not argument.startswith("@"):
        return argument.encode()
    try:
        return Path(argument[1:]).read_bytes()
    except OSError as error:
        raise LocalError(f"--data {argument} cannot be read: {error.strerror}.") from error


def _status(_: Namespace) -> int:
    _show(Console(), find(WORK_FOLDER))
    return 0


def _down(_: Namespace) -> int:
    emulator = recorded(WORK_FOLDER)
    if emulator is None:
        print("No emulator is running here.")
    else:
        emulator.stop()
        print(f"Stopped the emulator on port {emulator.port}.")
    return 0


def _show(console: Console, emulator: Emulator) -> None:
    lines = [f"Emulator: {emulator.url} (process {emulator.pid})"]
    for stack, values in outputs(emulator).items():
        for name, value in values.items():
            lines.append(f"{stack}.{name} = {_reachable(emulator, value)}")
    lines.append(
        "Ask it with `cdk-inference local invoke`, stop it with `cdk-inference local down`."
    )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _reachable(emulator: Emulator, value: str) -> str:
    try:
        return local_url(emulator, value)
    except LocalError:
        return value
