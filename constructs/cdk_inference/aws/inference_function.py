"""What is the same of every function that serves a model, made in this app or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import Duration, Size
    from aws_cdk import aws_cloudwatch as cloudwatch
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_logs as logs

    from cdk_inference.aws.keep_warm import KeepWarm
    from cdk_inference.aws.metrics import MetricOptions
    from cdk_inference.aws.provisioned_warm_pool import ProvisionedWarmPool
    from cdk_inference.aws.warm_strategy import WarmStrategy


class InferenceFunction(Construct):
    """A function that serves a model, and the alias that its callers invoke.

    What takes one takes either kind: an :class:`MLInferenceFunction`, or what
    :meth:`MLInferenceFunction.from_alias_arn` looks up.

    Attributes:
        function: the function. Do not call it directly: that is ``$LATEST``.
        alias: what callers invoke.
        alias_name: the alias's own name, such as ``live``.
        log_group: the function's logs; ``None`` where they are not known.
        title: what people call it: the model's name where it is known, or the function's.
        memory_size: as deployed; ``None`` where it is not known.
        timeout: likewise.
        reserved_concurrency: likewise, or where there is none.
        warm_strategy: how callers are spared cold starts, as far as it is known.
        warm_capacity: what this app keeps environments warm with; ``None`` while it does not.

    Example:
        >>> def watch(function: InferenceFunction) -> cloudwatch.Alarm:
        ...     errors = function.metric_errors()
        ...     return errors.create_alarm(stack, "Errors", threshold=1, evaluation_periods=1)
    """

    function: lambda_.IFunction
    alias: lambda_.IFunction
    alias_name: str
    log_group: logs.ILogGroup | None
    title: str
    memory_size: Size | None
    timeout: Duration | None
    reserved_concurrency: int | None
    warm_strategy: WarmStrategy
    warm_capacity: ProvisionedWarmPool | KeepWarm | None

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to invoke the alias."""
        return self.alias.grant_invoke(grantee)

    def metric(self, name: str, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """One of AWS Lambda's metrics of the alias, with CloudWatch's defaults.

        Their names: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
        """
        return self.alias.metric(name, **self._of_the_alias(options))

    def metric_invocations(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many requests the alias was given: the sum over 5 minutes, unless told otherwise."""
        return self.alias.metric_invocations(**self._of_the_alias(options))

    def metric_errors(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many requests failed: the sum over 5 minutes, unless told otherwise."""
        return self.alias.metric_errors(**self._of_the_alias(options))

    def metric_duration(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Milliseconds a request took: the average over 5 minutes, unless told otherwise."""
        return self.alias.metric_duration(**self._of_the_alias(options))

    def metric_throttles(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many requests were refused for want of concurrency: the sum over 5 minutes."""
        return self.alias.metric_throttles(**self._of_the_alias(options))

    def _of_the_alias(self, options: MetricOptions) -> MetricOptions:
        # The CDK knows no dimension of an alias that it has looked up.
        name = self.function.function_name
        dimensions = {"FunctionName": name, "Resource": f"{name}:{self.alias_name}"}
        merged: MetricOptions = {"dimensions_map": dimensions, **options}
        return merged
