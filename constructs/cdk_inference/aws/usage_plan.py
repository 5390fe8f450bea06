"""What holders of an API key may take of a REST API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import CfnOutput
from aws_cdk import aws_apigateway as apigateway

if TYPE_CHECKING:
    from constructs import Construct


@dataclass(frozen=True)
class UsagePlan:
    """How much the holders of some API keys may ask, each for themselves.

    A key tells callers apart and counts their requests; it is no proof of who they are, so give the
    API an ``auth`` as well:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html

    Attributes:
        name: what the plan is called; construct ids are made of it.
        rate_limit: requests per second of each key.
        burst_limit: how many at once.
        quota: requests in each ``quota_period``. Default: no limit.
        quota_period: Default: a month.
        keys: names of keys that are made for it, as ``name``. Default: none; add your own to
            ``usage_plans`` of the API.

    Example:
        >>> UsagePlan("Partners", rate_limit=10, burst_limit=20, quota=100_000, keys=["Acme"])
    """

    name: str
    rate_limit: float
    burst_limit: int
    quota: int | None = None
    quota_period: apigateway.Period = apigateway.Period.MONTH
    keys: tuple[str, ...] | list[str] = ()

    def make(self, scope: Construct, stage: apigateway.Stage) -> apigateway.UsagePlan:
        """The plan for ``stage``; made in ``scope``."""
        return apigateway.UsagePlan(
            scope,
            f"{self.name}Plan",
            throttle=apigateway.ThrottleSettings(
                rate_limit=self.rate_limit, burst_limit=self.burst_limit
            ),
            quota=(
                apigateway.QuotaSettings(limit=self.quota, period=self.quota_period)
                if self.quota is not None
                else None
            ),
            api_stages=[apigateway.UsagePlanPerApiStage(api=stage.rest_api, stage=stage)],
        )

    @staticmethod
    def make_key(scope: Construct, name: str, plan: apigateway.UsagePlan) -> apigateway.ApiKey:
        """A key of ``plan``; made in ``scope``."""
        key = apigateway.ApiKey(scope, f"{name}Key")
        plan.add_api_key(key)
        CfnOutput(
            scope,
            f"{name}KeyId",
            value=key.key_id,
            description="The key: aws apigateway get-api-key --include-value --api-key …",
        )
        return key
