"""A Cloud Run service, as a synthesized ``cdk.tf.json`` describes it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.local.cloud_run_volumes import Volume, read_buckets, read_volume, resolved
from cdk_inference.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ASSEMBLY: Final = Path("cdktf.out")
_DOCUMENT: Final = "cdk.tf.json"
_SERVICE: Final = "google_cloud_run_v2_service"

# What Cloud Run does unless told otherwise.
# https://cloud.google.com/run/docs/configuring/concurrency
# https://cloud.google.com/run/docs/configuring/request-timeout
# https://cloud.google.com/run/docs/configuring/healthchecks
_DEFAULT_CONCURRENCY: Final = 80
_DEFAULT_TIMEOUT_SECONDS: Final = 300.0
_DEFAULT_PORT: Final = 8080
_WHOLE_STARTUP_SECONDS: Final = 240
_DEFAULT_PROBE_SECONDS: Final = 10
_DEFAULT_PROBE_TIMEOUT_SECONDS: Final = 1
_DEFAULT_PROBE_FAILURES: Final = 3

_REFERENCE: Final = re.compile(r"\$\{(\w+)\.(\w+)\.\w+\}")


@dataclass(frozen=True)
class Probe:
    """How a container is asked whether it has started.

    Attributes:
        path: of the HTTP request; ``None`` if a connection is enough.
        port: where; ``None`` for the container's own.
        delay_seconds: before the first question.
        period_seconds: between two.
        timeout_seconds: for an answer.
        failures: after which the container has failed.
    """

    path: str | None
    port: int | None
    delay_seconds: float
    period_seconds: float
    timeout_seconds: float
    failures: int


@dataclass(frozen=True)
class Container:
    """A container of a service.

    Attributes:
        name: in the service.
        image: as the service names it.
        content: the folder that the image is built in, where this stack builds it.
        command: what is run.
        environment: plain variables.
        secrets: variables that come from Secret Manager, with the secrets' names.
        port: where requests go to; ``None`` for a container that gets none.
        mounts: the names of volumes, by their path in the container.
        after: the names of containers that start before.
        probe: ``None`` if nobody asks whether it has started.
    """

    name: str
    image: str
    content: Path | None
    command: Sequence[str]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    port: int | None
    mounts: Mapping[str, str]
    after: frozenset[str]
    probe: Probe | None

    @property
    def listening_port(self) -> int | None:
        """Where it is known to listen: for requests, or for the probe."""
        return self.port or (self.probe.port if self.probe else None)


@dataclass(frozen=True)
class Service:
    """A service.

    Attributes:
        name: as Cloud Run would know it.
        containers: in an order in which they can start.
        concurrency: requests that an instance gets at the same time.
        timeout_seconds: how long a request may take.
        volumes: by their names.
        buckets: the files that the stack uploads, by their buckets and their names there.
    """

    name: str
    containers: Sequence[Container]
    concurrency: int
    timeout_seconds: float
    volumes: Mapping[str, Volume]
    buckets: Mapping[str, Mapping[str, Path]]


def read_service(stack: str, service: str, assembly: Path = ASSEMBLY) -> Service:
    """The service of a stack that was synthesized.

    Args:
        stack: its name.
        service: its construct's path in the stack, such as ``Digits``, or its own name.
        assembly: the folder that the app was synthesized to. Default: ``cdktf.out``.

    Raises:
        LocalError: there is none, or it cannot be run here; the message says why.

    Example:
        >>> read_service("CloudRunStack", "Digits").concurrency
        4
    """
    folder = assembly / "stacks" / stack
    try:
        document = json.loads((folder / _DOCUMENT).read_text())
    except FileNotFoundError as error:
        raise LocalError(
            f"There is no stack {stack} in {assembly}; {_known(assembly)}. Synthesize the app"
            " first, for example with `python3 app.py`."
        ) from error
    values = _find(document, stack, service)
    template = values["template"]
    containers = [_container(one, document, folder) for one in template["containers"]]
    volumes = [read_volume(one, document) for one in template.get("volumes", ())]
    return Service(
        name=values["name"],
        containers=_in_order(containers),
        concurrency=template.get("max_instance_request_concurrency", _DEFAULT_CONCURRENCY),
        timeout_seconds=_seconds(template.get("timeout")),
        volumes={volume.name: volume for volume in volumes},
        buckets=read_buckets(document, folder),
    )


def _known(assembly: Path) -> str:
    stacks = sorted(path.parent.name for path in assembly.glob(f"stacks/*/{_DOCUMENT}"))
    return f"it has {', '.join(stacks)}" if stacks else "it has none"


def _find(document: Mapping[str, Any], stack: str, service: str) -> dict[str, Any]:
    services: Mapping[str, dict[str, Any]] = document.get("resource", {}).get(_SERVICE, {})
    known = {}
    for values in services.values():
        path = values["//"]["metadata"]["path"].removeprefix(f"{stack}/").removesuffix("/Service")
        known[path] = known[values["name"]] = values
    if service not in known:
        raise LocalError(
            f"{stack} has no Cloud Run service {service};"
            f" it has {', '.join(known) if known else 'none'}."
        )
    return known[service]


def _container(values: Mapping[str, Any], document: Mapping[str, Any], folder: Path) -> Container:
    name = values.get("name", values["image"])
    command = [*values.get("command", ()), *values.get("args", ())]
    if not values.get("command"):
        raise LocalError(
            f"The container {name} has no command: that of its image is run, and images cannot be"
            " run here. Give it a command to run it here."
        )
    ports = values.get("ports")
    port = ports.get("container_port", _DEFAULT_PORT) if ports is not None else None
    variables = values.get("env", ())
    return Container(
        name=name,
        image=values["image"],
        content=_content(values["image"], document, folder),
        command=command,
        environment={
            one["name"]: resolved(one.get("value", ""), document)
            for one in variables
            if _is_plain(one)
        },
        secrets={
            one["name"]: one["value_source"]["secret_key_ref"]["secret"]
            for one in variables
            if not _is_plain(one)
        },
        port=port,
        mounts={one["mount_path"]: one["name"] for one in values.get("volume_mounts", ())},
        after=frozenset(values.get("depends_on", ())),
        probe=_probe(values.get("startup_probe"), port),
    )


def _is_plain(variable: Mapping[str, Any]) -> bool:
    return "value_source" not in variable


def _content(image: str, document: Mapping[str, Any], folder: Path) -> Path | None:
    """The folder of the ``docker_image`` that an image's digest goes back to."""
    resources = document["resource"]
    for kind, name in _REFERENCE.findall(image):
        values = resources.get(kind, {}).get(name, {})
        if "build" in values:
            return folder / str(values["build"]["context"])
        if kind.startswith("docker_"):
            return _content(values.get("name", ""), document, folder)
    return None


def _probe(values: Mapping[str, Any] | None, port: int | None) -> Probe | None:
    if values is None:
        # Cloud Run waits for whoever gets requests to listen.
        return None if port is None else Probe(None, None, 0, 1, 1, _WHOLE_STARTUP_SECONDS)
    http = values.get("http_get")
    asked = http or values.get("tcp_socket") or {}
    return Probe(
        path=http.get("path", "/") if http is not None else None,
        port=asked.get("port"),
        delay_seconds=values.get("initial_delay_seconds", 0),
        period_seconds=values.get("period_seconds", _DEFAULT_PROBE_SECONDS),
        timeout_seconds=values.get("timeout_seconds", _DEFAULT_PROBE_TIMEOUT_SECONDS),
        failures=values.get("failure_threshold", _DEFAULT_PROBE_FAILURES),
    )


def _in_order(containers: Sequence[Container]) -> list[Container]:
    """Each after those that it depends on."""
    waiting, ordered = list(containers), list[Container]()
    while waiting:
        started = {one.name for one in ordered}
        ready = [one for one in waiting if one.after <= started]
        if not ready:
            raise LocalError(
                f"The containers {', '.join(one.name for one in waiting)} wait for each other, or"
                " for one that is not there: change their depends_on."
            )
        ordered += ready
        waiting = [one for one in waiting if one not in ready]
    return ordered


def _seconds(timeout: str | None) -> float:
    return float(timeout.removesuffix("s")) if timeout else _DEFAULT_TIMEOUT_SECONDS
