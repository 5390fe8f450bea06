"""What a service promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.naming import unique_name
from cdk_inference.limits import (
    CLOUD_MONITORING_SLO_DAYS,
    CLOUD_MONITORING_SLO_PERCENT,
    GOOGLE_MONITORED_SERVICE_LENGTH,
)

if TYPE_CHECKING:
    from datetime import timedelta

    from cdk_inference.gcp.watched_service import WatchedService
    from cdk_inference.validation import Problems
    from constructs import Construct


@dataclass(frozen=True)
class ServiceObjective:
    """A service level objective: how many of the requests must be good, over some weeks.

    Attributes:
        percent: of the requests, more than 0 and up to 99.99. Default: 99.5.
        within: how soon a good request is answered. Default: at any time, as long as it is no error
            of the service (500 and above).
        days: that are looked back on, 1 to 30. Default: 28, which are whole weeks.
        fastest_burn: how many times as fast as would just do the errors that are allowed may be
            used up, over an hour, before somebody is told. Default: 10, at which they last for
            less than three days.

    Example:
        >>> ServiceObjective(95, within=timedelta(milliseconds=200))
    """

    percent: float = 99.5
    within: timedelta | None = None
    days: int = 28
    fastest_burn: float = 10

    def check(self, name: str, problems: Problems) -> None:
        """Record what is no objective."""
        if not 0 < self.percent <= CLOUD_MONITORING_SLO_PERCENT:
            problems.add(
                f"objective {name!r} is {self.percent:g} percent",
                allowed="Cloud Monitoring takes more than 0 and up to"
                f" {CLOUD_MONITORING_SLO_PERCENT}",
                remedy="choose a number in that range, such as 99.5",
            )
        if self.within is not None and self.within.total_seconds() <= 0:
            problems.add(
                f"objective {name!r} is within {self.within.total_seconds():g} seconds",
                allowed="a request takes some time",
                remedy="raise it",
            )
        if self.fastest_burn <= 0:
            problems.add(
                f"objective {name!r} has fastest_burn {self.fastest_burn:g}",
                allowed="it is more than 0; at 1, what is allowed just does",
                remedy="raise it",
            )
        problems.check_within(f"days of objective {name!r}", self.days, CLOUD_MONITORING_SLO_DAYS)

    def slo(self, scope: Construct, name: str, monitored: Any) -> Any:
        """The ``google_monitoring_slo``, as a child of ``scope``.

        Args:
            scope: where.
            name: of the objective.
            monitored: the ``google_monitoring_service`` that promises it.
        """
        slos = bindings_of(scope).google("monitoring_slo")
        if self.within is None:
            good = {"availability": slos.MonitoringSloBasicSliAvailability(enabled=True)}
        else:
            threshold = f"{self.within.total_seconds():.9g}s"
            good = {"latency": slos.MonitoringSloBasicSliLatency(threshold=threshold)}
        return slos.MonitoringSlo(
            scope,
            name,
            service=monitored.service_id,
            display_name=self._title(name),
            goal=round(self.percent / 100, 6),
            rolling_period_days=self.days,
            basic_sli=slos.MonitoringSloBasicSli(**good),
        )

    def _title(self, name: str) -> str:
        good = "answered" if self.within is None else f"within {self.within.total_seconds():g} s"
        return f"{name}: {self.percent:g} % {good} over {self.days} days"


def monitored_service(scope: Construct, service: WatchedService) -> Any:
    """The ``google_monitoring_service`` that objectives are of, as a child of ``scope``."""
    services = bindings_of(scope).google("monitoring_service")
    return services.MonitoringService(
        scope,
        "Service",
        service_id=unique_name(scope, GOOGLE_MONITORED_SERVICE_LENGTH),
        display_name=service.name,
        basic_service=services.MonitoringServiceBasicService(
            service_type="CLOUD_RUN",
            service_labels={"service_name": service.name, "location": service.region},
        ),
    )
