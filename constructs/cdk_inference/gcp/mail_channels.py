"""Who gets mail when something goes wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.tokens import are_known
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


class MailChannels(Construct):
    """Notification channels of Cloud Monitoring, one for each address. They cost nothing.

    Args:
        emails: the addresses.

    Attributes:
        names: the channels, for ``channels`` of :class:`ServiceMonitoring` and
            :class:`ServiceBudget`.

    Raises:
        ConfigurationError: something in ``emails`` is no address.

    Example:
        >>> oncall = MailChannels(stack, "OnCall", emails=["oncall@example.com"])
        >>> ServiceMonitoring(stack, "Monitoring", service=service, channels=oncall.names)
    """

    names: Final[Sequence[str]]

    def __init__(self, scope: Construct, id: str, *, emails: Sequence[str]) -> None:
        super().__init__(scope, id)
        bindings = bindings_of(self)
        problems = Problems(self.node.path)
        for email in emails:
            if are_known(bindings, email) and not _ADDRESS.fullmatch(email):
                problems.add(
                    f"{email!r} is in emails",
                    allowed="those are mail addresses",
                    remedy="give one such as 'oncall@example.com'",
                )
        problems.raise_if_any()

        channels = bindings.google("monitoring_notification_channel")
        self.names = [
            channels.MonitoringNotificationChannel(
                self,
                f"Mail{index}",
                type="email",
                display_name=email,
                labels={"email_address": email},
            ).name
            for index, email in enumerate(emails)
        ]
