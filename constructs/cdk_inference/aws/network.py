"""The VPC that a function runs in, and which services can be reached from there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

import jsii
from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from constructs import Construct, IValidation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.validation import Problems
    from constructs import IConstruct

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
_INTERFACE_ACTIONS: Final = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
# What the CDK calls a subnet's route to a NAT or internet gateway.
_WAY_OUT: Final = "DefaultRoute"


@dataclass(frozen=True)
class Network:
    """Where a function runs.

    Attributes:
        vpc: its VPC.
        subnets: which of its subnets. Default: the private ones.
    """

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection | None = None

    def selected(self) -> Sequence[ec2.ISubnet]:
        """The subnets themselves."""
        chosen = self.subnets or ec2.SubnetSelection()
        return self.vpc.select_subnets(
            availability_zones=chosen.availability_zones,
            one_per_az=chosen.one_per_az,
            subnet_filters=chosen.subnet_filters,
            subnet_group_name=chosen.subnet_group_name,
            subnets=chosen.subnets,
            subnet_type=chosen.subnet_type,
        ).subnets


class PrivateNetwork(Construct):
    """A VPC with nothing but isolated subnets in two zones and a free endpoint for Amazon S3.

    No NAT gateway, which costs $33 a month and zone, no internet, and no interface endpoint, which
    costs $7 a month and zone: a function that only serves a model calls nothing but Amazon S3. Its
    logs and traces take Lambda's own way. Rejected traffic is logged for a month.

    Attributes:
        vpc: the VPC. Add endpoints to it if your own code calls other services.

    Example:
        >>> PrivateNetwork(stack, "Network").vpc
    """

    vpc: Final[ec2.Vpc]

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED
                )
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)
            },
            # That would be done by a function of its own; nothing uses the default group.
            restrict_default_security_group=False,
        )
        log_group = logs.LogGroup(self, "RejectedTraffic", retention=logs.RetentionDays.ONE_MONTH)
        self.vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(log_group),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )


def interface_statement() -> iam.PolicyStatement:
    """What Lambda needs of a function's role to put it into a VPC."""
    return iam.PolicyStatement(actions=list(_INTERFACE_ACTIONS), resources=["*"])


class ReachedService(Enum):
    """What a function, or an agent beside it, calls over the network.

    Names are those of the CDK's endpoints.
    """

    S3 = "Amazon S3"
    DYNAMODB = "Amazon DynamoDB"
    XRAY = "AWS X-Ray"
    CLOUDWATCH_LOGS = "Amazon CloudWatch Logs"

    @property
    def endpoint(self) -> str:
        """What the name of its endpoint ends with."""
        return "logs" if self is ReachedService.CLOUDWATCH_LOGS else self.name.lower()

    @property
    def remedy(self) -> str:
        """What gives a VPC an endpoint for it."""
        if self in (ReachedService.S3, ReachedService.DYNAMODB):
            kind, cost, method = "Gateway", "is free", "add_gateway_endpoint"
        else:
            kind, cost, method = "Interface", "costs $7 a month and zone", "add_interface_endpoint"
        service = f"ec2.{kind}VpcEndpointAwsService.{self.name}"
        return f'add one, which {cost}: vpc.{method}("{self.name}", service={service})'


def reach(function: MLInferenceFunction, service: ReachedService, purpose: str) -> None:
    """Let a function that is in a VPC call a service, and check at synth that it gets there.

    Args:
        function: with its network.
        service: what it calls.
        purpose: what for, as a sentence goes on.
    """
    if function.network is not None:
        function.node.add_validation(Reaches(function.network, service, purpose))
        function.function.connections.allow_to_any_ipv4(ec2.Port.HTTPS, service.value)


@jsii.implements(IValidation)
class Reaches:
    """A check at synth that a function in a VPC gets to a service.

    A VPC that was only looked up does not tell, and is not checked.

    Args:
        network: where the function runs.
        service: what it calls.
        purpose: what for, as a sentence goes on.
    """

    def __init__(self, network: Network, service: ReachedService, purpose: str) -> None:
        self._network = network
        self._service = service
        self._purpose = purpose

    def validate(self) -> list[str]:
        """What is wrong, as the CDK asks for it."""
        vpc = self._network.vpc
        if not isinstance(vpc, ec2.Vpc) or self._has_way_out() or self._has_endpoint(vpc):
            return []
        return [
            f"{self._purpose} {self._service.value}, and the function's subnets have neither a way"
            f" out nor an endpoint for {self._service.value}; {self._service.remedy}"
        ]

    def _has_way_out(self) -> bool:
        subnets = self._network.selected()
        return all(subnet.node.try_find_child(_WAY_OUT) is not None for subnet in subnets)

    def _has_endpoint(self, vpc: ec2.Vpc) -> bool:
        # Most are the VPC's own; an app is searched for others only then.
        return any(
            self._is_endpoint(construct, vpc)
            for scope in (vpc, vpc.node.root)
            for construct in scope.node.find_all()
        )

    def _is_endpoint(self, construct: IConstruct, vpc: ec2.Vpc) -> bool:
        if not isinstance(construct, ec2.CfnVPCEndpoint):
            return False
        stack = Stack.of(vpc)
        service = json.dumps(stack.resolve(construct.service_name))
        return (
            stack.resolve(construct.vpc_id) == stack.resolve(vpc.vpc_id)
            and f'.{self._service.endpoint}"' in service
        )


def check_subnets(
    vpc: ec2.IVpc | None, subnets: ec2.SubnetSelection | None, problems: Problems
) -> None:
    """Record a problem if there are subnets and no VPC."""
    if vpc is None and subnets is not None:
        problems.add(
            "vpc_subnets is given without vpc",
            allowed="subnets are those of a VPC",
            remedy="give the vpc, or leave both out",
        )
