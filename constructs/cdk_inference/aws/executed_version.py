"""One of the versions that an alias has its requests executed by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch

    from cdk_inference.aws.inference_function import InferenceFunction
    from cdk_inference.aws.metrics import MetricOptions


@dataclass(frozen=True)
class ExecutedVersion:
    """A version's share of an alias's requests, by CloudWatch's dimension of that name.

    Attributes:
        function: whose alias it is.
        number: the version's, such as ``7``.

    Example:
        >>> ExecutedVersion(function, "7").metric_errors(statistic="Sum")
    """

    function: InferenceFunction
    number: str

    def metric_invocations(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many requests it was given: the sum over 5 minutes, unless told otherwise."""
        return self.function.metric_invocations(**self._of_it(options))

    def metric_errors(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many requests failed: the sum over 5 minutes, unless told otherwise."""
        return self.function.metric_errors(**self._of_it(options))

    def metric_duration(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Milliseconds a request took: the average over 5 minutes, unless told otherwise."""
        return self.function.metric_duration(**self._of_it(options))

    def _of_it(self, options: MetricOptions) -> MetricOptions:
        # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
        name = self.function.function.function_name
        dimensions = {
            "FunctionName": name,
            "Resource": f"{name}:{self.function.alias_name}",
            "ExecutedVersion": self.number,
        }
        merged: MetricOptions = {"dimensions_map": dimensions, **options}
        return merged
