"""The digits model on Google Cloud, twice, behind one load balancer on a domain of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdk_inference import InferenceModel
from cdk_inference.gcp import (
    CloudRunService,
    EdgeProtection,
    Ingress,
    PrecomputedPredictions,
    RateLimit,
    RuntimeImageRepository,
    ServiceEdge,
    TrafficShare,
)
from cdktn import TerraformStack, TerraformVariable
from cdktn_provider_google.provider import GoogleProvider

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"
_REGION: Final = "europe-west1"
_ANSWERS: Final = "gs://my-digits/requests-results/results/"


class CloudRunEdgeStack(TerraformStack):
    """Two services, ``/`` and ``/candidate``, for everyone who sends no more than 100 requests in
    ten seconds; and answers of a batch for whoever has a signed URL, from Google's edge.

    The variable ``signing_key`` is 16 random bytes as URL-safe base64.

    Args:
        stable_revision: of the service at ``/``, as ``gcloud run revisions list`` tells it. It then
            keeps 90 % of the requests there, and what is deployed now gets 10 %.

    Example:
        >>> CloudRunEdgeStack(cdktn.App(), "CloudRunEdgeStack")
    """

    def __init__(self, scope: Construct, id: str, *, stable_revision: str | None = None) -> None:
        super().__init__(scope, id)
        GoogleProvider(self, "Google", region=_REGION)
        model = InferenceModel.from_file(_MODEL)
        image = RuntimeImageRepository(self, "Images", region=_REGION).build("Digits", model=model)
        shares = [TrafficShare(90, revision=stable_revision), TrafficShare(10)]
        traffic = {"Digits": shares if stable_revision else []}
        services = {
            path: CloudRunService(
                self,
                name,
                model=model,
                image=image,
                region=_REGION,
                ingress=Ingress.INTERNAL_AND_LOAD_BALANCER,
                traffic=traffic.get(name, []),
            )
            for path, name in {"/": "Digits", "/candidate": "Candidate"}.items()
        }
        for service in services.values():
            service.allow_unauthenticated()
        key = TerraformVariable(self, "signing_key", type="string", sensitive=True)
        ServiceEdge(
            self,
            "Edge",
            domains=["digits.example.org"],
            services=services,
            precomputed={
                "/precomputed": PrecomputedPredictions.signed(_ANSWERS, key=key.string_value)
            },
            protection=EdgeProtection(rate_limit=RateLimit(100, seconds=10)),
        )
