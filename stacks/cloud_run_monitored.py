"""The digits model on Google Cloud, watched, and with a budget."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdk_inference import InferenceModel
from cdk_inference.gcp import (
    CloudRunService,
    MailChannels,
    RuntimeImageRepository,
    ServiceBudget,
    ServiceMonitoring,
    ServiceObjective,
)
from cdktn import TerraformStack, TerraformVariable
from cdktn_provider_google.provider import GoogleProvider

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"
_REGION: Final = "europe-west1"
_LABEL: Final = ("application", "digits")


class CloudRunMonitoredStack(TerraformStack):
    """A service with dashboard, alerts, two objectives, log-based metrics and a monthly budget.

    The variable ``billing_account`` names the account that pays.

    Example:
        >>> CloudRunMonitoredStack(cdktn.App(), "CloudRunMonitoredStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        GoogleProvider(self, "Google", region=_REGION)
        model = InferenceModel.from_file(_MODEL)
        service = CloudRunService(
            self,
            "Digits",
            model=model,
            image=RuntimeImageRepository(self, "Images", region=_REGION).build(
                "Digits", model=model
            ),
            region=_REGION,
            labels=dict([_LABEL]),
        )
        oncall = MailChannels(self, "OnCall", emails=["oncall@example.com"])
        ServiceMonitoring(
            self,
            "Monitoring",
            service=service,
            channels=oncall.names,
            objectives={
                "Availability": ServiceObjective(),
                "Fast": ServiceObjective(95, within=timedelta(milliseconds=200)),
            },
        )
        account = TerraformVariable(self, "billing_account", type="string")
        ServiceBudget(
            self,
            "Budget",
            billing_account=account.string_value,
            monthly_limit=50,
            label=_LABEL,
            channels=oncall.names,
        )
