"""AWS's Lambda Runtime Interface Emulator, from the wheel of its SAM CLI.

https://github.com/aws/aws-lambda-runtime-interface-emulator
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

START_S = 20
STOP_S = 5
CALL_S = 30
NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount")
NAMESPACE = Path(__file__).with_name("namespace.py")


def binary() -> str:
    """The emulator for this machine."""
    package = find_spec("samcli")
    assert package is not None
    assert package.origin is not None
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
    folder = Path(package.origin).parent / "local" / "rapid"
    return str(folder / f"aws-lambda-rie-{machine}")


def namespaces_are_allowed() -> bool:
    """Whether this user may make the namespaces that Managed Instances need here."""
    made = subprocess.run([*NAMESPACES, "mount", "-t", "tmpfs", "none", "/var"], check=False)
    return made.returncode == 0


class Emulator:
    """One that is running.

    Attributes:
        pid: of its process, or of what started it.
    """

    def __init__(self, url: str, pid: int) -> None:
        self._url = f"{url}/2015-03-31/functions/function/invocations"
        self.pid = pid

    def invoke(self, event: Any) -> Any:
        """One synchronous invocation: what the function answered, or its error."""
        return json.loads(self.invoke_raw(event))

    def invoke_raw(self, event: Any) -> bytes:
        """The same, as bytes."""
        request = urllib.request.Request(self._url, json.dumps(event).encode())
        while True:
            try:
                with urllib.request.urlopen(request, timeout=CALL_S) as response:
                    return bytes(response.read())
            except HTTPError as error:
                # As Lambda does, a managed instance turns away what nobody waits for.
                if error.headers["Error-Type"] != "Runtime.Unavailable":
                    raise
                time.sleep(0.005)


@contextmanager
def emulated(environ: dict[str, str], client: tuple[str, ...]) -> Iterator[Emulator]:
    """A client of the Runtime API under the emulator, as a function with one invocation at a time.

    Args:
        environ: the function's, beyond that of the tests.
        client: what the interpreter is started with.
    """
    with _running([binary()], [sys.executable, *client], environ) as emulator:
        yield emulator


@contextmanager
def with_extension(
    environ: dict[str, str], client: tuple[str, ...], extension: Path
) -> Iterator[Emulator]:
    """As ``emulated``, with an external extension in ``/opt/extensions``.

    Args:
        environ: the function's, beyond that of the tests.
        client: what the interpreter is started with.
        extension: the file that Lambda starts.
    """
    place = (
        'mount -t tmpfs none /opt && mkdir /opt/extensions && cp "$0" /opt/extensions && exec "$@"'
    )
    start = [*NAMESPACES, "sh", "-c", place, str(extension), binary()]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with _running(start, [sys.executable, *client], {**environ, "PATH": path}) as emulator:
        yield emulator


@contextmanager
def managed_instance(
    environ: dict[str, str], client: tuple[str, ...], concurrency: int, folder: Path
) -> Iterator[Emulator]:
    """A client of the Runtime API under the emulator, as Lambda Managed Instances run it.

    Args:
        environ: the function's, beyond that of the tests.
        client: what the interpreter is started with.
        concurrency: invocations at the same time.
        folder: for what has to be written.
    """
    bootstrap = folder / "bootstrap"
    bootstrap.write_text(f"#!/bin/sh\nexec {shlex.join([sys.executable, *client])}\n")
    bootstrap.chmod(0o755)
    start = [*NAMESPACES, sys.executable, str(NAMESPACE), str(bootstrap), binary()]
    with _running(start, [], {**environ, "AWS_LAMBDA_MAX_CONCURRENCY": str(concurrency)}) as it:
        yield it


@contextmanager
def _running(start: list[str], command: list[str], environ: dict[str, str]) -> Iterator[Emulator]:
    front, runtime_api = (f"127.0.0.1:{port}" for port in _free_ports(2))
    addresses = ["--runtime-interface-emulator-address", front]
    addresses += ["--runtime-api-address", runtime_api]
    process = subprocess.Popen([*start, *addresses, *command], env={**os.environ, **environ})
    try:
        _wait_for(front, process)
        yield Emulator(f"http://{front}", process.pid)
    finally:
        process.terminate()
        process.wait(STOP_S)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.rpartition(":")
    end = time.monotonic() + START_S
    while True:
        assert process.poll() is None, "the emulator ended"
        assert time.monotonic() < end, "the emulator does not listen"
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
