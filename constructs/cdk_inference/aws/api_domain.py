"""An API under a name of your own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets

if TYPE_CHECKING:
    from aws_cdk import aws_certificatemanager as acm

    from constructs import Construct


@dataclass(frozen=True)
class ApiDomain:
    """The domain name that an API has to itself. Costs nothing beside the name.

    The API then answers under that name alone, and no longer under that of API Gateway. Over TLS
    1.2 or newer.

    Attributes:
        name: the domain name, such as ``models.example.org``.
        certificate: for that name, in the API's own region.
        hosted_zone: where the name is entered (A and AAAA). Default: none; point the name to the
            domain's target elsewhere yourself.

    Example:
        >>> ApiDomain("models.example.org", certificate, zone)
    """

    name: str
    certificate: acm.ICertificate
    hosted_zone: route53.IHostedZone | None = None

    def for_http_api(self, scope: Construct, stage: apigwv2.HttpStage) -> None:
        """Have ``stage`` answer under the name; made in ``scope``."""
        domain = apigwv2.DomainName(
            scope,
            "Domain",
            domain_name=self.name,
            certificate=self.certificate,
            security_policy=apigwv2.SecurityPolicy.TLS_1_2,
        )
        apigwv2.ApiMapping(scope, "DomainMapping", api=stage.api, domain_name=domain, stage=stage)
        self._enter(
            scope,
            targets.ApiGatewayv2DomainProperties(
                domain.regional_domain_name, domain.regional_hosted_zone_id
            ),
        )

    def for_rest_api(self, scope: Construct, api: apigateway.RestApi) -> None:
        """Have ``api`` answer under the name; made in ``scope``."""
        domain = apigateway.DomainName(
            scope,
            "Domain",
            domain_name=self.name,
            certificate=self.certificate,
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
            mapping=api,
        )
        self._enter(scope, targets.ApiGatewayDomain(domain))

    def _enter(self, scope: Construct, target: route53.IAliasRecordTarget) -> None:
        if self.hosted_zone is None:
            return
        for record, id in ((route53.ARecord, "Ipv4"), (route53.AaaaRecord, "Ipv6")):
            record(
                scope,
                id,
                zone=self.hosted_zone,
                record_name=f"{self.name}.",  # with the dot it is whole, whatever the zone
                target=route53.RecordTarget.from_alias(target),
            )
