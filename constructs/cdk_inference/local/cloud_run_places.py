"""Where what a container knows is on this machine: its ports, and its volumes' folders."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import TYPE_CHECKING, Final

from cdk_inference.local.cloud_run_front import HOST
from cdk_inference.local.cloud_run_volumes import fill
from cdk_inference.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdk_inference.local.cloud_run_document import Container, Service
    from cdk_inference.local.cloud_run_volumes import Volume

_ADDRESS: Final = re.compile(r"(?P<host>localhost|127\.0\.0\.1|0\.0\.0\.0):(?P<port>\d+)\b")


class Places:
    """The ports and folders of one instance.

    All of an instance's containers reach each other on one machine, here as there. A port that is
    taken here is another one, and its containers are told so: in ``PORT``, in a variable whose name
    ends like that, and wherever an address of the instance itself is written. What would listen to
    the whole network listens to this machine alone.

    Args:
        service: what runs.
        folder: for the volumes.
        secrets: the values of secrets, by their names.

    Attributes:
        notes: what is not as the document says, a sentence each.

    Raises:
        LocalError: a secret that a volume holds has no value.
    """

    def __init__(self, service: Service, folder: Path, secrets: Mapping[str, str]) -> None:
        self.notes: list[str] = []
        self._folder = folder
        self._ports = {
            port: self._free_port(container, port)
            for container in service.containers
            for port in (container.listening_port,)
            if port is not None
        }
        for volume in service.volumes.values():
            self._make(volume, service, secrets)

    def port(self, port: int) -> int:
        """The one here that is ``port`` to containers."""
        return self._ports.get(port, port)

    def variables(self, given: Mapping[str, str], container: Container) -> dict[str, str]:
        """Variables as they must be here."""
        return {
            name: str(self.port(int(value)))
            if name.endswith("PORT") and value.isdecimal()
            else self.text(value, container)
            for name, value in given.items()
        }

    def text(self, text: str, container: Container) -> str:
        """``text`` with what is here in the place of a container's addresses and folders."""
        for path in sorted(container.mounts, key=len, reverse=True):
            here = str(self._folder / container.mounts[path])
            as_path = rf"(?<![\w./-]){re.escape(path)}(?![\w.-])"
            text = re.sub(as_path, here.replace("\\", r"\\"), text)
        return _ADDRESS.sub(self._address, text)

    def _address(self, match: re.Match[str]) -> str:
        host = HOST if match["host"] == "0.0.0.0" else match["host"]  # noqa: S104 - not listened to
        return f"{host}:{self.port(int(match['port']))}"

    def _free_port(self, container: Container, port: int) -> int:
        """The container's port, or another where that is taken."""
        for candidate in (port, 0):
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, candidate))
                free = int(probe.getsockname()[1])
                if candidate == 0:
                    self.notes.append(
                        f"Port {port} of {container.name} is taken on this machine: PORT is {free}."
                    )
                return free
        raise LocalError("This machine has no free port.")

    def _make(self, volume: Volume, service: Service, secrets: Mapping[str, str]) -> None:
        folder = self._folder / volume.name
        folder.mkdir(parents=True)
        fill(volume, folder, service.buckets)
        if volume.bucket is not None and volume.bucket not in service.buckets:
            self.notes.append(
                f"The stack puts nothing into the bucket {volume.bucket}: its volume is the empty"
                f" folder {folder}."
            )
        for file, secret in volume.secrets.items():
            if secret not in secrets:
                raise LocalError(
                    f"The volume {volume.name} has {secret} from Secret Manager, which is not here:"
                    f" give a value, as in `--secret {secret}=@FILE`."
                )
            (folder / file).write_text(secrets[secret])
