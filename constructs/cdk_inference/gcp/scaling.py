"""How many instances run, and how much each takes at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import CLOUD_RUN_CONCURRENCY, CLOUD_RUN_TIMEOUT

if TYPE_CHECKING:
    from datetime import timedelta

    from cdk_inference.gcp.bindings import Bindings
    from cdk_inference.validation import Problems

# More requests at once than vCPUs, so that one is decoded while another runs; beyond that they only
# wait for each other, and another instance is better.
_REQUESTS_PER_CPU: Final = 4


@dataclass(frozen=True)
class Scaling:
    """The limits of instances, and those of each one's requests.

    Attributes:
        min_instances: kept running without requests.
        max_instances: how many run at most.
        concurrency: requests that one gets at the same time.
        timeout: how long a request may take.
    """

    min_instances: int
    max_instances: int
    concurrency: int
    timeout: timedelta

    @property
    def timeout_seconds(self) -> int:
        """The timeout, which is checked to be of whole seconds."""
        return int(self.timeout.total_seconds())

    def check(self, bindings: Bindings, problems: Problems) -> None:
        """Record what Cloud Run does not allow."""
        least, most = self.min_instances, self.max_instances
        if are_known(bindings, least, most) and (least < 0 or most < 1 or least > most):
            problems.add(
                f"min_instances is {least} and max_instances {most}",
                allowed="the least is 0 or more, the most is 1 or more and no less than the least",
                remedy="change one of them",
            )
        if are_known(bindings, self.concurrency):
            problems.check_within("concurrency", self.concurrency, CLOUD_RUN_CONCURRENCY)
        problems.check_within("timeout", self.timeout.total_seconds(), CLOUD_RUN_TIMEOUT)


def default_concurrency(cpu: int) -> int:
    """The requests that an instance of ``cpu`` vCPUs gets at the same time: four for each.

    Example:
        >>> default_concurrency(2)
        8
    """
    return _REQUESTS_PER_CPU * cpu
