"""A Lambda function that serves an ONNX model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Size
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs

from cdk_inference.aws.addressable_function import AddressableFunction
from cdk_inference.aws.environment import function_environment
from cdk_inference.aws.function_checks import (
    check_base_image,
    check_ephemeral_storage,
    check_python,
    check_reserved_concurrency,
    check_timeout,
    check_vpc,
    default_ephemeral_storage,
)
from cdk_inference.aws.imported_inference_function import ImportedInferenceFunction
from cdk_inference.aws.initialization import warn_of_long_init
from cdk_inference.aws.memory import check_memory, default_memory_mb, warn_of_tight_memory
from cdk_inference.aws.model_source import ModelSource
from cdk_inference.aws.nag import acknowledge
from cdk_inference.aws.network import (
    Network,
    ReachedService,
    check_subnets,
    interface_statement,
    reach,
)
from cdk_inference.aws.optimized_model import warn_of_unused_optimization
from cdk_inference.aws.packaging import (
    Packaging,
    check_lite,
    check_unzipped_size,
    lambda_platform,
    package,
)
from cdk_inference.aws.readiness import checklist as readiness
from cdk_inference.aws.synth_checks import CompleteFunction
from cdk_inference.aws.telemetry import Telemetry, Tracing
from cdk_inference.aws.warm_strategy import WarmStrategy
from cdk_inference.contract import PIPELINE, RESPONSE_CACHE
from cdk_inference.limits import LAMBDA_DEFAULT_PYTHON, REST_API_TIMEOUT_SECONDS
from cdk_inference.model import InferenceModel
from cdk_inference.validation import Problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_ec2 as ec2

    from cdk_inference.aws.ab_routing import ABRouting
    from cdk_inference.aws.gradual_release import GradualRelease
    from cdk_inference.aws.inference_function import InferenceFunction
    from cdk_inference.aws.model_source import AnyModel
    from constructs import Construct


class MLInferenceFunction(AddressableFunction):
    """A Lambda function that answers requests with an ONNX model's predictions.

    Every change of the model, the runtime or a setting publishes a new version, and the alias
    ``live`` moves to it; callers use the alias. Requests are traced with X-Ray, unless told
    otherwise, and logs are JSON, one line a request.

    Args:
        model: what to serve: a file here, or one that is in a store already.
        model_source: where the function has it from. Default: :meth:`ModelSource.baked`, which
            needs neither a network nor a second place to look after; a store is for models that are
            too large for a zip, or that others put there.
        packaging: an image, built by Docker when the app is deployed, or a zip with layers, built
            at synth without Docker. Default: image, since a zip has at most 250 MB unzipped. The
            quickest start has ``Packaging.LITE``, a zip for models of tensors.
        memory_size: 128 to 10,240 MB; a whole vCPU comes with each 1,769 MB. Default: 3.5 times
            the model's size plus 256 MB, and no less than 1,769 MB (:mod:`cdk_inference.memory` has
            the measurements).
        timeout: 1 to 900 seconds. Default: 29 seconds, as long as any API of API Gateway
            waits.
        architecture: Default: x86_64. ARM_64 costs a fifth less for a second, but compare the
            latency of your own model first; these constructs were not yet tried on Graviton.
        python_version: ``3.11`` to ``3.14``. Default: 3.13.
        base_image: what an image is built on: an image with that Python and pip. Default:
            ``python:3.13-slim`` (or as ``python_version`` says). Give one with ``@sha256:…`` for
            images that can be rebuilt identically, or one from a registry of your own.
        ephemeral_storage: the size of ``/tmp``, 512 to 10,240 MB. Default: 512, which is free, or
            what a model takes that is fetched there, and 64 MB more.
        environment: settings of the runtime such as ``INFERENCE_THREADS``, and variables of your
            own: 4 KB together. A volatile value, such as a build number, publishes a new version
            of an unchanged model at each deploy.
        log_retention: how long logs are kept. Default: one month.
        reserved_concurrency: how many requests run at the same time at most, each in an environment
            of its own, 1 or more; the rest gets 429. It is taken from what the account's other
            functions share. Default: whatever the account has left.
        retain_versions: whether a version stays when a newer takes its place, to go back to by
            hand, or to be compared with by :class:`ABRouting`. Default: no; with SnapStart each is
            paid for.
        warm_strategy: how callers are spared cold starts. Default: :meth:`WarmStrategy.none`, which
            costs nothing.
        vpc: where the function runs; its security group lets nothing out but what is needed for the
            model and the settings here, so add what your own code needs to
            ``function.connections``. Default: that of a file system that has the model, or else
            none, which is simpler and reaches the internet.
        vpc_subnets: which of the VPC's subnets. Default: the private ones.
        tracing: what AWS X-Ray sees of requests. Default: what Lambda itself knows of them.
        lambda_insights: whether CloudWatch Lambda Insights tells the processor time, network and
            memory of each invocation, by an agent beside the runtime. Default: no, since it costs
            about $2.40 a month in metrics, and memory and start-up time.

    Attributes:
        function: the function. Do not call it directly: that is ``$LATEST``.
        alias: ``live``, the version that callers get.
        log_group: the function's logs, kept when the stack is deleted.
        role: the function's own, allowed to write its logs and traces and nothing else.
        model: what it serves.
        model_source: as given, or baked.
        network: the VPC and its subnets; ``None`` outside of any.
        memory_size: as given, or chosen.
        timeout: as given, or 29 seconds.
        python_version: as given, or Lambda's default here.
        ephemeral_storage: as given, or 512 MB.
        reserved_concurrency: as given.
        retain_versions: as given.
        warm_strategy: as given.
        has_pipeline: whether ``environment`` puts code of yours around the model.
        warm_capacity: what keeps environments warm, made by ``warm_strategy`` or later; ``None``
            while nothing does.
        release: what takes callers from one version to the next; ``None`` while nothing does, and
            all of them change at once.

    Raises:
        ConfigurationError: something cannot work; the message lists everything that cannot.
        PackagingError: the zip's dependencies can be neither found nor downloaded.

    Example:
        >>> model = InferenceModel.from_file("models/digits/digits.onnx")
        >>> function = MLInferenceFunction(stack, "Digits", model=model, packaging=Packaging.ZIP)
        >>> function.grant_invoke(caller)
        >>> function.add_http_api(auth=ApiAuth.public())
    """

    alias: lambda_.Alias
    log_group: logs.LogGroup
    role: Final[iam.Role]
    model_source: Final[ModelSource]
    memory_size: Size
    timeout: Duration
    python_version: Final[str]
    ephemeral_storage: Final[Size]
    retain_versions: Final[bool]
    release: GradualRelease | ABRouting | None

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: AnyModel,
        model_source: ModelSource | None = None,
        packaging: Packaging = Packaging.IMAGE,
        memory_size: Size | None = None,
        timeout: Duration | None = None,
        architecture: lambda_.Architecture | None = None,
        python_version: str = LAMBDA_DEFAULT_PYTHON,
        base_image: str | None = None,
        ephemeral_storage: Size | None = None,
        environment: Mapping[str, str] | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH,
        reserved_concurrency: int | None = None,
        retain_versions: bool = False,
        warm_strategy: WarmStrategy | None = None,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        tracing: Tracing = Tracing.X_RAY,
        lambda_insights: bool = False,
    ) -> None:
        super().__init__(scope, id)
        self.model = model
        self.title = model.name
        self.alias_name = "live"
        self.model_source = source = model_source or ModelSource.baked()
        self.network = source.network or (Network(vpc, vpc_subnets) if vpc else None)
        self.memory_size = memory_size or Size.mebibytes(default_memory_mb(model.size_bytes))
        self.timeout = timeout or Duration.seconds(REST_API_TIMEOUT_SECONDS)
        self.reserved_concurrency = reserved_concurrency
        self.retain_versions = retain_versions
        self.warm_strategy = warm_strategy or WarmStrategy.none()
        self.has_pipeline = PIPELINE in (environment or {})
        self.warm_capacity = None
        self.release = None
        architecture = architecture or lambda_.Architecture.X86_64
        self.python_version = python_version
        packaged = model if source.is_baked and isinstance(model, InferenceModel) else None
        fetched_bytes = model.size_bytes if source.is_fetched else 0
        self.ephemeral_storage = ephemeral_storage or default_ephemeral_storage(fetched_bytes)
        platform = lambda_platform(self, packaging, architecture, python_version)
        telemetry = Telemetry.on(platform, tracing, insights=lambda_insights)

        problems = Problems(self.node.path)
        check_memory(self.memory_size, model, problems)
        check_timeout(self.timeout, problems)
        check_ephemeral_storage(self.ephemeral_storage, fetched_bytes, problems)
        check_vpc(source, vpc, problems)
        check_subnets(vpc, vpc_subnets, problems)
        source.check(self, problems)
        check_python(python_version, problems)
        check_base_image(base_image, platform, problems)
        telemetry.check(platform, problems)
        variables = function_environment(
            model, source, telemetry.environment, environment or {}, problems
        )
        check_lite(model, packaging, variables, problems)
        check_unzipped_size(packaged, platform, problems)
        check_reserved_concurrency(reserved_concurrency, problems)
        self.warm_strategy.check(self, problems)
        problems.raise_if_any()
        warn_of_tight_memory(self)
        warn_of_long_init(self)
        if warm_strategy == WarmStrategy.none():
            readiness.acknowledge(self, "WarmStrategy", "asked for by name: WarmStrategy.none()")
        self.node.add_validation(CompleteFunction(self))

        self.log_group = logs.LogGroup(
            self,
            "LogGroup",
            retention=log_retention,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        self.role = self._make_role(self.log_group)
        artifact = package(
            self,
            packaged,
            platform,
            base_image or f"python:{python_version}-slim",
            model_cache=source.has_model_cache,
            image_arguments=telemetry.image_arguments(architecture.name),
        )
        self.function = lambda_.Function(
            self,
            "Function",
            code=artifact.code,
            handler=artifact.handler,
            runtime=artifact.runtime,
            layers=artifact.layers,
            architecture=platform.architecture,
            memory_size=self.memory_size.to_mebibytes(),
            timeout=self.timeout,
            ephemeral_storage_size=self.ephemeral_storage,
            environment=variables,
            role=self.role,
            log_group=self.log_group,
            tracing=telemetry.lambda_tracing,
            insights_version=telemetry.insights_version,
            description=f"Serves the ONNX model {model.name}",
            reserved_concurrent_executions=reserved_concurrency,
            current_version_options=(
                lambda_.VersionOptions(removal_policy=RemovalPolicy.RETAIN)
                if retain_versions
                else None
            ),
            vpc=self.network.vpc if self.network else None,
            vpc_subnets=self.network.subnets if self.network else None,
            allow_all_outbound=False if self.network else None,
            snap_start=(
                lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS
                if self.warm_strategy.is_snap_start
                else None
            ),
        )
        source.attach(self)
        telemetry.attach(self)
        if variables.get(RESPONSE_CACHE, "").startswith("dynamodb:"):
            reach(self, ReachedService.DYNAMODB, "answers are cached in")
        acknowledge(
            self.function,
            "L1",
            "python_version is pinned: the layers hold wheels for it, and Lambda supports each that"
            " this construct allows",
        )
        # The CDK counts a changed layer as a new version under a feature flag alone.
        self.function.invalidate_version_based_on(artifact.fingerprint)
        self.alias = lambda_.Alias(
            self, "Live", alias_name=self.alias_name, version=self.function.current_version
        )
        self._put_out()
        warn_of_unused_optimization(self)
        self.warm_strategy.apply(self)

    @staticmethod
    def from_alias_arn(
        scope: Construct,
        id: str,
        alias_arn: str,
        *,
        log_group: logs.ILogGroup | None = None,
        memory_size: Size | None = None,
        timeout: Duration | None = None,
        reserved_concurrency: int | None = None,
        architecture: lambda_.Architecture | None = None,
        same_environment: bool = False,
    ) -> InferenceFunction:
        """Look up a function that was made elsewhere, by the alias that its callers invoke.

        What it is given changes nothing there; it is what this app knows for checks and costs.

        Args:
            scope: where the look-up is.
            id: its own in ``scope``.
            alias_arn: the other app's output ``AliasArn``.
            log_group: of the function. Default: not known, so that its logs are not read.
            memory_size: of the function. Default: not known, so that nothing tells its costs.
            timeout: of the function. Default: not known, so that nothing is checked against it.
            reserved_concurrency: of the function. Default: not known, likewise.
            architecture: of the function, for its price. Default: x86_64.
            same_environment: whether the stack will be deployed to the function's own account and
                region, so that an API of this app may be allowed to call it. Default: only where
                the stack says both and they are the same; otherwise the CDK warns.

        Raises:
            ConfigurationError: ``alias_arn`` is not the ARN of an alias.

        Example:
            >>> digits = MLInferenceFunction.from_alias_arn(stack, "Digits", digits_alias_arn)
            >>> digits.grant_invoke(caller)
        """
        return ImportedInferenceFunction(
            scope,
            id,
            alias_arn,
            log_group=log_group,
            memory_size=memory_size,
            timeout=timeout,
            reserved_concurrency=reserved_concurrency,
            architecture=architecture,
            same_environment=same_environment,
        )

    def _make_role(self, log_group: logs.LogGroup) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        if self.network is not None:
            role.add_to_policy(interface_statement())
        acknowledge(
            role,
            "IAM5[Resource::*]",
            "X-Ray's actions take no resource, nor does Lambda know its network interfaces before",
        )
        return role

    def _put_out(self) -> None:
        CfnOutput(
            self,
            "FunctionArn",
            value=self.function.function_arn,
            description=f"The function that serves {self.model.name}",
        )
        CfnOutput(
            self,
            "AliasArn",
            value=self.alias.function_arn,
            description=f"Invoke this to get a prediction of {self.model.name}",
        )
        if self.retain_versions:
            CfnOutput(
                self,
                "Version",
                value=self.function.current_version.version,
                description="The version of the function that serves"
                f" {self.model.name} {self.model.version}",
            )
