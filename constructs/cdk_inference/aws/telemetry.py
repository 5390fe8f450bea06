"""What a function tells AWS of itself beside its log: traces, and figures of its environments."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from aws_cdk import aws_lambda as lambda_

from cdk_inference.aws.nag import acknowledge
from cdk_inference.aws.network import ReachedService, reach
from cdk_inference.aws.readiness import checklist as readiness
from cdk_inference.context import is_local
from cdk_inference.contract import OTLP, TRACES
from cdk_inference.limits import ADOT_PYTHON_VERSIONS

if TYPE_CHECKING:
    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.aws.packaging import LambdaPlatform
    from cdk_inference.validation import Problems

_INSIGHTS: Final = lambda_.LambdaInsightsVersion.VERSION_1_0_498_0
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Lambda-Insights-Getting-Started-docker.html
_INSIGHTS_PACKAGES: Final = {
    "x86_64": "https://lambda-insights-extension.s3-ap-northeast-1.amazonaws.com"
    "/amazon_linux/lambda-insights-extension.rpm",
    "arm64": "https://lambda-insights-extension-arm64.s3-ap-northeast-1.amazonaws.com"
    "/amazon_linux/lambda-insights-extension-arm64.rpm",
}
_AMAZON_LINUX: Final = "public.ecr.aws/lambda/provided:al2023"
# https://aws-otel.github.io/docs/getting-started/lambda/lambda-python
_ADOT: Final = lambda_.AdotLambdaLayerPythonSdkVersion.V1_29_0


class Tracing(Enum):
    """What of a request is traced; all of it is seen in AWS X-Ray.

    Example:
        >>> MLInferenceFunction(stack, "Model", model=model, tracing=Tracing.OFF)
    """

    X_RAY = "x-ray"
    """What Lambda sees: INIT, the wait for an environment, and the invocation. Nothing is added to
    the function."""

    ADOT = "adot"
    """Beside that, each request's parts as the runtime sees them: decode, run, encode. It adds the
    layer of the AWS Distro for OpenTelemetry, with a collector beside the runtime, and its imports
    to each start. Zips only, up to Python 3.13."""

    OFF = "off"
    """Nothing."""


@dataclass(frozen=True)
class Telemetry:
    """How one function is traced and watched.

    Attributes:
        tracing: what of its requests is traced.
        insights: whether it has CloudWatch Lambda Insights.
    """

    tracing: Tracing
    insights: bool

    @classmethod
    def on(cls, platform: LambdaPlatform, tracing: Tracing, *, insights: bool) -> Telemetry:
        """As asked for, but for this machine's emulator, which has none of AWS's layers."""
        if platform.local:
            return cls(Tracing.OFF, insights=False)
        return cls(tracing, insights)

    def check(self, platform: LambdaPlatform, problems: Problems) -> None:
        """Record whatever the function cannot have."""
        if self.tracing is not Tracing.ADOT:
            return
        if not platform.packaging.is_zip:
            problems.add(
                "tracing is Tracing.ADOT, and packaging is Packaging.IMAGE",
                allowed="AWS has the collector as a layer, and an image has none",
                remedy="use Packaging.LITE or Packaging.ZIP, or Tracing.X_RAY",
            )
        if platform.python_version not in ADOT_PYTHON_VERSIONS:
            problems.add(
                f"tracing is Tracing.ADOT, and python_version is {platform.python_version!r}",
                allowed=f"AWS's layer takes {', '.join(ADOT_PYTHON_VERSIONS)}",
                remedy="choose one of them, or Tracing.X_RAY",
            )

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the runtime that go with it."""
        # Where it sends to by default is where the collector listens: localhost:4318.
        return {TRACES: OTLP} if self.tracing is Tracing.ADOT else {}

    @property
    def lambda_tracing(self) -> lambda_.Tracing:
        """The same as Lambda's own property."""
        active = self.tracing is not Tracing.OFF
        return lambda_.Tracing.ACTIVE if active else lambda_.Tracing.DISABLED

    @property
    def insights_version(self) -> lambda_.LambdaInsightsVersion | None:
        """The agent's layer, by region and architecture; an image has the agent in it instead."""
        return _INSIGHTS if self.insights else None

    def image_arguments(self, architecture: str) -> dict[str, str]:
        """The arguments of an image's build that put the agent into it."""
        if not self.insights:
            return {}
        return {
            "INSIGHTS_IMAGE": _AMAZON_LINUX,
            "INSIGHTS_PACKAGE": _INSIGHTS_PACKAGES[architecture],
        }

    def attach(self, function: MLInferenceFunction) -> None:
        """Add to a function what its own properties do not say."""
        if is_local(function):
            readiness.acknowledge(function, "Tracing", "the emulator has no AWS X-Ray")
        if self.tracing is Tracing.ADOT:
            arn = _ADOT.layer_arn(function, function.function.architecture)
            function.function.add_layers(
                lambda_.LayerVersion.from_layer_version_arn(function, "AdotLayer", arn)
            )
            reach(function, ReachedService.XRAY, "the layer of Tracing.ADOT sends traces to")
        if self.insights:
            reach(function, ReachedService.CLOUDWATCH_LOGS, "Lambda Insights writes to")
            acknowledge(
                function.role,
                "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/"
                "CloudWatchLambdaInsightsExecutionRolePolicy]",
                "AWS's own policy for the agent, which may write to /aws/lambda-insights only",
            )
