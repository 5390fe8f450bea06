"""What monitoring knows of a function, be it made here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Duration, Size
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs

from cdk_inference.aws.inference_function import InferenceFunction
from cdk_inference.aws.provisioned_warm_pool import ProvisionedWarmPool
from cdk_inference.prices import LAMBDA

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch

    from constructs import Construct


@dataclass(frozen=True)
class FunctionFacts:
    """What an app says of a function that tells too little by itself.

    Attributes:
        log_group: where it logs to, as text. Default: ``/aws/lambda/<name>``, Lambda's own choice.
        timeout: its timeout, for alarms on latency. Default: not known.
        memory_size: its memory, for alarms on memory. Default: not known.
        reserved_concurrency: how many requests run at the same time at most, for alarms on
            concurrency. Default: not known.

    Example:
        >>> FunctionFacts(timeout=Duration.seconds(30), memory_size=Size.mebibytes(1769))
    """

    log_group: logs.ILogGroup | None = None
    timeout: Duration | None = None
    memory_size: Size | None = None
    reserved_concurrency: int | None = None


class MonitoredFunction:
    """A function as monitoring sees it.

    Args:
        scope: where its log group is looked up, if it has to be.
        function: the function or alias that callers invoke.
        facts: what it does not tell itself.

    Attributes:
        title: what people call it.
        log_group: where it logs to.
        timeout: as deployed; ``None`` if that is not known.
        memory_size: likewise.
        reserved_concurrency: likewise, or if there is none.
        pool: its provisioned concurrency, if it was made before.
    """

    def __init__(
        self,
        scope: Construct,
        function: InferenceFunction | lambda_.IFunction,
        facts: FunctionFacts,
    ) -> None:
        self.timeout = facts.timeout
        self.memory_size = facts.memory_size
        self.reserved_concurrency = facts.reserved_concurrency
        self.pool: ProvisionedWarmPool | None = None
        log_group = facts.log_group
        if isinstance(function, InferenceFunction):
            self._invoked, self.title = function.alias, function.title
            name, alias = function.function.function_name, function.alias_name
            self.timeout = function.timeout or facts.timeout
            self.memory_size = function.memory_size or facts.memory_size
            self.reserved_concurrency = function.reserved_concurrency or facts.reserved_concurrency
            log_group = function.log_group or facts.log_group
            if isinstance(function.warm_capacity, ProvisionedWarmPool):
                self.pool = function.warm_capacity
        else:
            self._invoked, self.title = function, function.function_name
            name, _, alias = function.function_name.partition(":")
        # The CDK knows no dimension of an alias that it has looked up.
        self._dimensions = {"FunctionName": name}
        if alias:
            self._dimensions["Resource"] = f"{name}:{alias}"
        self.log_group = log_group or logs.LogGroup.from_log_group_name(
            scope, "LogGroup", f"/aws/lambda/{name}"
        )

    @property
    def gb_second(self) -> float:
        """What a GB of memory costs for a second of a request, in US dollars."""
        prices = LAMBDA[self._invoked.architecture.name]
        return prices.provisioned_run_gb_second if self.pool else prices.gb_second

    def metric(
        self, name: str, *, statistic: str, period: Duration, label: str | None = None
    ) -> cloudwatch.Metric:
        """One of Lambda's metrics: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html."""
        return self._invoked.metric(
            name, dimensions_map=self._dimensions, statistic=statistic, period=period, label=label
        )
