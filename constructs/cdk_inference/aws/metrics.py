"""The options of every ``metric_…`` method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch


class MetricOptions(TypedDict, total=False):
    """CloudWatch's options of a metric, all optional, with the CDK's own defaults.

    Example:
        >>> function.metric_duration(statistic="p99", period=Duration.minutes(1))
    """

    account: str
    color: str
    dimensions_map: Mapping[str, str]
    id: str
    label: str
    period: Duration
    region: str
    statistic: str
    unit: cloudwatch.Unit
    visible: bool
