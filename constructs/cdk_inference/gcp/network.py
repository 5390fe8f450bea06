"""From where a service is reached, and by which way it reaches out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Ingress(Enum):
    """Which networks requests may come from. Who may send them is another matter: IAM.

    Example:
        >>> CloudRunService(stack, "Model", model=model, image=image, ingress=Ingress.INTERNAL)
    """

    ALL = "INGRESS_TRAFFIC_ALL"
    """The internet, too."""

    INTERNAL = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    """The project's own networks and Google's own services."""

    INTERNAL_AND_LOAD_BALANCER = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    """Those, and the internet through a load balancer of the project."""


class Egress(Enum):
    """What leaves an instance through the VPC.

    Example:
        >>> VpcAccess("shop", "shop-europe-west1", egress=Egress.ALL_TRAFFIC)
    """

    PRIVATE_RANGES_ONLY = "PRIVATE_RANGES_ONLY"
    """What goes to private addresses; the rest goes to the internet directly."""

    ALL_TRAFFIC = "ALL_TRAFFIC"
    """Everything. What must reach the internet needs Cloud NAT then, and a model in a bucket needs
    Private Google Access on the subnetwork."""


@dataclass(frozen=True)
class VpcAccess:
    """A network that instances are in, without a connector (Direct VPC egress).

    Attributes:
        network: its name.
        subnetwork: its name, in the service's region, with a /26 free or more.
        egress: what leaves through it. Default: what goes to private addresses.
        tags: network tags, for firewall rules.

    Example:
        >>> VpcAccess("shop", "shop-europe-west1")
    """

    network: str
    subnetwork: str
    egress: Egress = Egress.PRIVATE_RANGES_ONLY
    tags: tuple[str, ...] = ()
