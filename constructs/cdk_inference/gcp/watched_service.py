"""What is known of a service that is watched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.tokens import are_known

if TYPE_CHECKING:
    from cdk_inference.gcp.cloud_run import CloudRun


@dataclass(frozen=True)
class WatchedService:
    """A Cloud Run service by its name, as one that another app deployed.

    A Cloud Function is one, too, with the function's name.

    Attributes:
        name: of the service.
        region: where it is.
        timeout: how long a request may take; an alert on latency takes a share of it.
        max_instances: how many run at most; an alert on instances takes a share of them.
        startup: how long an instance may take to start; an alert on that takes a share of it.
        has_gpu: whether instances have one.

    Example:
        >>> WatchedService("digits", "europe-west1", timeout=timedelta(minutes=1))
    """

    name: str
    region: str
    timeout: timedelta | None = None
    max_instances: int | None = None
    startup: timedelta | None = None
    has_gpu: bool = False

    @classmethod
    def of(cls, service: CloudRun) -> WatchedService:
        """What a service of this app tells of itself, as far as the app knows it."""
        most = service.scaling.max_instances
        return cls(
            name=service.service.name,
            region=service.region,
            timeout=service.scaling.timeout,
            max_instances=most if are_known(bindings_of(service), most) else None,
            startup=timedelta(seconds=service.startup_probe.seconds),
            has_gpu=service.machine.gpu is not None,
        )
