"""The embedded AWS emulator: one ministack process for each work folder.

A work folder holds everything that a local deployment makes: the emulator's record
(``emulator.json``), its log and scratch files, the cloud assembly, the outputs.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cdk_inference.local.emulator_process import RESOURCE_TYPES
from cdk_inference.local.errors import LocalError
from cdk_inference.local.processes import kill_group, start_time

HOST: Final = "127.0.0.1"
WORK_FOLDER: Final = Path(".cdk-inference")
"""Where `cdk-inference local` keeps its files, relative to the working directory."""

_RECORD: Final = "emulator.json"
_LOG: Final = "emulator.log"
_SCRATCH: Final = "scratch"
OUTPUTS: Final = "outputs.json"
_START_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Emulator:
    """An emulator that was started in a work folder.

    Attributes:
        folder: its work folder.
        pid: its process, which leads the process group that its Lambda workers are in.
        port: the one HTTP port, on 127.0.0.1, of every AWS service.
        started: tells the process from a later one with the same id.

    Example:
        >>> emulator = start(WORK_FOLDER)
        >>> boto3.client("s3", endpoint_url=emulator.url)
    """

    folder: Path
    pid: int
    port: int
    started: str

    @property
    def url(self) -> str:
        """The endpoint to give an AWS client, for example as ``AWS_ENDPOINT_URL``."""
        return f"http://{HOST}:{self.port}"

    @property
    def scratch(self) -> Path:
        """A folder for temporary files, which goes with the emulator."""
        return (self.folder / _SCRATCH).resolve()

    def resource_types(self) -> frozenset[str]:
        """The CloudFormation resource types that it knows."""
        return frozenset(json.loads((self.scratch / RESOURCE_TYPES).read_text()))

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid) == self.started

    def stop(self) -> None:
        """End the emulator and its Lambda workers and remove its scratch files.

        Its state lives in memory, so there is nothing to shut down in order.
        """
        if self.is_alive():
            kill_group(self.pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        _forget(self.folder)


def recorded(folder: Path) -> Emulator | None:
    """The emulator that ``folder`` has a record of, alive or not; None if there is no record.

    Raises:
        LocalError: the record cannot be read.

    Example:
        >>> recorded(Path("/tmp/empty")) is None
        True
    """
    try:
        record = json.loads((folder / _RECORD).read_text())
        return Emulator(folder=folder, **record)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise LocalError(
            f"{folder / _RECORD} is not a record of an emulator ({error}): remove that file."
        ) from error


def find(folder: Path) -> Emulator:
    """The running emulator of ``folder``.

    Raises:
        LocalError: none runs there; the message says if there was one that has died.

    Example:
        >>> find(WORK_FOLDER).url
        'http://127.0.0.1:4566'
    """
    emulator = recorded(folder)
    if emulator is None:
        raise LocalError(
            "No emulator is running here: start one with `cdk-inference local deploy`."
        )
    if not emulator.is_alive():
        raise LocalError(
            f"The emulator that was running on port {emulator.port} (process {emulator.pid}) has"
            " died, and what was deployed to it is gone: deploy again with"
            " `cdk-inference local deploy`."
        )
    return emulator


def start(folder: Path, *, port: int | None = None, tied: bool = False) -> Emulator:
    """Start an emulator in ``folder`` and wait until it answers.

    Args:
        folder: its work folder, made if need be.
        port: the loopback port to listen on. Default: a free one.
        tied: whether it ends when the calling process ends, however that happens. Default: it runs
            until :meth:`Emulator.stop`.

    Raises:
        LocalError: one runs in ``folder`` already, the port is taken, or it does not start.

    Example:
        >>> start(WORK_FOLDER, tied=True).stop()
    """
    _refuse_second(folder)
    _forget(folder)
    scratch = (folder / _SCRATCH).resolve()
    scratch.mkdir(parents=True)
    port = _free_port() if port is None else _require_free(port)
    process = _spawn(folder, scratch, port, tied)
    try:
        emulator = Emulator(folder, process.pid, port, start_time(process.pid) or "")
        _write_record(emulator)
        _wait_until_ready(emulator, process)
    except BaseException:
        kill_group(process.pid)
        process.wait()
        _forget(folder)
        raise
    return emulator


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Emulator]:
    """An emulator for a ``with`` block: it ends with the block, or with this process.

    Raises:
        LocalError: as :func:`start`.

    Example:
        >>> with running(Path(".cdk-inference/test")) as emulator:
        ...     deploy(emulator, console=Console())
    """
    emulator = start(folder, tied=True)
    try:
        yield emulator
    finally:
        emulator.stop()


def _refuse_second(folder: Path) -> None:
    emulator = recorded(folder)
    if emulator is not None and emulator.is_alive():
        raise LocalError(
            f"An emulator is already running in {folder} (process {emulator.pid}, port"
            f" {emulator.port}): wait for the run that uses it, or stop it with"
            f" `kill {emulator.pid}`."
        )


def _spawn(folder: Path, scratch: Path, port: int, tied: bool) -> subprocess.Popen[bytes]:
    # The write end stays open, unused, for as long as this process lives: see emulator_process.py.
    read_end, write_end = os.pipe()
    if not tied:
        os.close(write_end)
    with (folder / _LOG).open("wb") as log, os.fdopen(read_end) as lifeline:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and script
            [
                sys.executable,
                "-I",
                str(Path(__file__).with_name("emulator_process.py")),
                str(scratch),
                "tied" if tied else "free",
            ],
            stdin=lifeline,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(port, scratch),
            cwd=scratch,
            start_new_session=True,
        )


def _write_record(emulator: Emulator) -> None:
    record = {key: value for key, value in asdict(emulator).items() if key != "folder"}
    (emulator.folder / _RECORD).write_text(json.dumps(record))


def _forget(folder: Path) -> None:
    """Remove what only a running emulator gives a meaning to."""
    (folder / _RECORD).unlink(missing_ok=True)
    (folder / OUTPUTS).unlink(missing_ok=True)
    shutil.rmtree(folder / _SCRATCH, ignore_errors=True)


def _environment(port: int, scratch: Path) -> dict[str, str]:
    """Nothing of the caller's but the search path: functions inherit what the emulator has."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": HOST,
        # ministack opens port 8883 for IoT unless told not to.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # It would remove containers of other emulators; functions run as plain processes here.
        "DOCKER_HOST": f"unix://{scratch}/no-docker",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _require_free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise LocalError(
                f"Port {port} cannot be used ({error}): leave --port out to take a free one,"
                " or stop the program that uses it."
            ) from error
    return port


def _wait_until_ready(emulator: Emulator, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(emulator):
        if process.poll() is not None:
            raise LocalError(f"The emulator ended while it was starting.\n{_log_tail(emulator)}")
        if time.monotonic() > deadline:
            raise LocalError(
                f"The emulator did not answer on port {emulator.port} within"
                f" {_START_SECONDS:.0f} s.\n{_log_tail(emulator)}"
            )
        time.sleep(0.05)


def _answers(emulator: Emulator) -> bool:
    connection = http.client.HTTPConnection(HOST, emulator.port, timeout=5)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _log_tail(emulator: Emulator) -> str:
    lines = (emulator.folder / _LOG).read_text(errors="replace").splitlines()
    return "\n".join(["Its log ends with:", *lines[-15:]])
