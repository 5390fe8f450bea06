"""Runs a Cloud Run service on this machine, as its ``cdk.tf.json`` describes it.

Every container's command is a process, with the container's environment and port, its volumes as
folders, and in the containers' order. In front of them stands what Cloud Run has there: the startup
probe, the concurrency limit and the timeout. An image that the stack builds is not built: its
requirements are installed for this machine's Python, and its own files are the working directory.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdk_inference.artifact import dependencies_folder
from cdk_inference.local.cloud_run_document import ASSEMBLY, read_service
from cdk_inference.local.cloud_run_front import HOST, Front
from cdk_inference.local.cloud_run_places import Places
from cdk_inference.local.cloud_storage import ObjectServer
from cdk_inference.local.emulator import WORK_FOLDER
from cdk_inference.local.errors import LocalError
from cdk_inference.local.invocation import Reply
from cdk_inference.local.nginx import nginx_program
from cdk_inference.local.processes import kill_group
from cdk_inference.packages import PackageTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cdk_inference.local.cloud_run_document import Container, Probe, Service

SERVICES_FOLDER: Final = WORK_FOLDER / "services"
_REQUIREMENTS: Final = "requirements.txt"
_LOG_LINES: Final = 15
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class RunningService:
    """A service that runs here.

    Attributes:
        url: where it answers, on this machine alone.
        logs: what each container has printed, by its name.
        notes: what is not as the document says, a sentence each.
        start_seconds: from the first container's start to the last one's readiness.
        check: raises `LocalError` if a container has ended meanwhile.

    Example:
        >>> with running_service("Shop", "Digits") as service:
        ...     service.post("/predict", b'{"features": [1, 2, 3]}').json()
        {'predictions': 0, 'model_version': '1'}
    """

    url: str
    logs: Mapping[str, Path]
    notes: tuple[str, ...]
    start_seconds: float
    check: Callable[[], None]

    def post(self, path: str, body: bytes) -> Reply:
        """POST the JSON ``body``.

        Raises:
            LocalError: nobody answers.
        """
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host)
        started = time.perf_counter()
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise LocalError(f"{self.url} did not answer a POST to {path} ({error!r}).") from error
        finally:
            connection.close()
        return Reply(response.status, content, time.perf_counter() - started)


@contextlib.contextmanager
def running_service(
    stack: str,
    service: str,
    *,
    assembly: Path = ASSEMBLY,
    port: int = 0,
    secrets: Mapping[str, str] | None = None,
    folder: Path = SERVICES_FOLDER,
) -> Iterator[RunningService]:
    """Run a service for a ``with`` block; it ends with the block, or with this process.

    Args:
        stack: its name.
        service: its construct's path in the stack, such as ``Digits``, or its own name.
        assembly: the folder that the app was synthesized to. Default: ``cdktf.out``.
        port: where to listen on 127.0.0.1. Default: a free one.
        secrets: the values that Secret Manager would give: by variables, and where a secret is a
            file, by the secret's name.
        folder: where logs and volumes are; each service has a folder of its own in it.

    Raises:
        LocalError: there is no such service, a container fails, or does not become ready in time.
        PackagingError: what its image installs can be neither found nor downloaded.

    Example:
        >>> with running_service("CloudRunStack", "Digits") as service:
        ...     service.post("/predict", b'{"features": [0, 1, …]}').json()
    """
    described = read_service(stack, service, assembly)
    home = (folder / described.name).resolve()
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    instance = _Instance(described, home, secrets or {})
    front = None
    try:
        started = time.perf_counter()
        instance.start()
        front = Front(
            instance.port,
            concurrency=described.concurrency,
            timeout_seconds=described.timeout_seconds,
            port=port,
        )
        yield RunningService(
            url=f"http://{HOST}:{front.port}",
            logs=instance.logs,
            notes=tuple(instance.notes),
            start_seconds=time.perf_counter() - started,
            check=instance.check,
        )
    finally:
        if front is not None:
            front.close()
        instance.stop()


class _Instance:
    """An instance of a service: its containers' processes."""

    def __init__(self, service: Service, home: Path, secrets: Mapping[str, str]) -> None:
        self._service = service
        self._home = home
        self._secrets = secrets
        self._places = Places(service, home / "volumes", secrets)
        self._store = ObjectServer(service.buckets) if service.buckets else None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.logs = {one.name: home / f"{one.name}.log" for one in service.containers}
        self.notes = self._places.notes
        self.port = 0

    def start(self) -> None:
        """Start every container, each when those before it are ready."""
        self._put_programs_in_place()
        if self._store is not None:
            self._store.start()
        for container in self._service.containers:
            self._spawn(container)
            port = self._places.port(container.listening_port or 0)
            if container.probe is not None:
                self._wait_until_started(container, container.probe, port)
            if container.port is not None:
                self.port = port

    def check(self) -> None:
        """Raise `LocalError` if a container has ended."""
        for container in self._service.containers:
            process = self._processes.get(container.name)
            if process is not None and process.poll() is not None:
                raise LocalError(
                    f"The container {container.name} ended with exit code {process.returncode}."
                    f"\n{self._log_end(container)}"
                )

    def stop(self) -> None:
        """End every container, the last one first."""
        for process in reversed(self._processes.values()):
            kill_group(process.pid)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if self._store is not None:
            self._store.close()

    def _put_programs_in_place(self) -> None:
        """What an image has, and this machine perhaps under another name.

        The interpreter outside this virtual environment gives a container no package that its own
        image does not bring.
        """
        programs = {
            "python": sys._base_executable,  # type: ignore[attr-defined]
            "python3": sys._base_executable,  # type: ignore[attr-defined]
            "nginx": nginx_program(),
        }
        folder = self._home / "bin"
        folder.mkdir()
        for name, program in programs.items():
            if program is not None:
                (folder / name).symlink_to(program)

    def _spawn(self, container: Container) -> None:
        with self.logs[container.name].open("wb") as log:
            self._processes[container.name] = subprocess.Popen(  # noqa: S603 - the stack's own command
                [
                    sys.executable,
                    "-I",
                    str(Path(__file__).with_name("container_process.py")),
                    *(self._places.text(part, container) for part in container.command),
                ],
                stdin=subprocess.PIPE,  # held open, and closed when this process ends
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=container.content or self._empty_folder(container),
                env=self._environment(container),
                start_new_session=True,
            )

    def _empty_folder(self, container: Container) -> Path:
        folder = self._home / "content" / container.name
        folder.mkdir(parents=True)
        return folder

    def _environment(self, container: Container) -> dict[str, str]:
        """What Cloud Run gives the container, and what its image would."""
        missing = sorted(container.secrets.keys() - self._secrets.keys())
        if missing:
            raise LocalError(
                f"{container.name} gets {', '.join(missing)} from Secret Manager, which is not"
                " here: give a value, as in `--secret NAME=VALUE`."
            )
        variables = {
            **container.environment,
            **{name: self._secrets[name] for name in container.secrets},
        }
        return {
            "PATH": f"{self._home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self._home),
            **_installed(container),
            # https://cloud.google.com/run/docs/container-contract#services-env-vars
            "K_SERVICE": self._service.name,
            "K_REVISION": f"{self._service.name}-local",
            "K_CONFIGURATION": self._service.name,
            **({"PORT": str(self._places.port(container.port))} if container.port else {}),
            **({"STORAGE_EMULATOR_HOST": self._store.address} if self._store else {}),
            **self._places.variables(variables, container),
        }

    def _wait_until_started(self, container: Container, probe: Probe, port: int) -> None:
        """Ask as long as Cloud Run would, but more often: the answer is not here to the second."""
        seconds = probe.delay_seconds + probe.failures * probe.period_seconds
        deadline = time.monotonic() + seconds
        while not _has_started(probe, port):
            self.check()
            if time.monotonic() > deadline:
                raise LocalError(
                    f"The container {container.name} was not ready after {seconds:g} s, when its"
                    f" startup probe gives up.\n{self._log_end(container)}"
                )
            time.sleep(_POLL_SECONDS)

    def _log_end(self, container: Container) -> str:
        lines = self.logs[container.name].read_text(errors="replace").splitlines()
        if container.content is None:
            lines.append(
                f"(This stack does not build its image, {container.image}: its command ran in an"
                " empty folder.)"
            )
        return "\n".join(["Its log ends with:", *lines[-_LOG_LINES:]])


def _installed(container: Container) -> dict[str, str]:
    """Where Python finds what the container's image installs."""
    requirements = container.content and container.content / _REQUIREMENTS
    if not (requirements and requirements.exists()):
        return {}
    return {"PYTHONPATH": str(dependencies_folder(requirements, PackageTarget.host()))}


def _has_started(probe: Probe, port: int) -> bool:
    if probe.path is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return True
        return False
    connection = http.client.HTTPConnection(HOST, port, timeout=probe.timeout_seconds)
    try:
        connection.request("GET", probe.path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return http.client.OK <= status < http.client.BAD_REQUEST
