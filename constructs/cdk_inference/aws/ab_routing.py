"""Two versions of a model behind one alias, to be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs

from cdk_inference.aws import log_queries
from cdk_inference.aws.executed_version import ExecutedVersion
from cdk_inference.aws.provisioned_warm_pool import ProvisionedWarmPool
from cdk_inference.aws.release import check_alias
from cdk_inference.aws.tokens import are_known
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from cdk_inference.aws.ml_inference_function import MLInferenceFunction


class ABRouting(Construct):
    """Splits the requests to a function's alias between an earlier version and the current one.

    An alias splits requests among published versions of one function, and one deployment publishes
    one version. So two models take two deployments:

    1. Deploy the function with the first model and ``retain_versions=True``. Its output
       ``Version`` is the number that CloudFormation gave it, such as 7.
    2. Give the function the second model, add ``ABRouting(…, baseline_version="7")``, and deploy.
       That publishes version 8, the candidate, and 7 keeps the rest of the requests.

    Any later change of the function publishes another candidate; the baseline stays. Remove the
    construct, and all requests go to the candidate; remove it and put the first model back, and
    they go to that. AWS Lambda draws lots for each request: a caller may get both models in turn.

    Costs nothing. With SnapStart, each retained version does, until it is deleted.

    Args:
        function: whose current version is the candidate; with ``retain_versions=True``.
        baseline_version: the number of an earlier version, which differs between accounts and
            regions. A version that does not exist fails the deployment.
        candidate_weight: the share of requests that the candidate gets, above 0 and below 1.

    Attributes:
        baseline: the earlier version, with its metrics.
        candidate: the current version, likewise.
        report: a saved query of CloudWatch Logs Insights that compares requests, errors and times
            by version of the function and of the model.

    Raises:
        ConfigurationError: a value outside its range, a function that was looked up, is in another
            stack or keeps no versions, one that has provisioned concurrency, or one whose traffic
            something else directs already.

    Example:
        >>> ab = ABRouting(
        ...     stack, "AB", function=function, baseline_version="7", candidate_weight=0.1
        ... )
        >>> slower = ab.candidate.metric_duration(statistic="p99")
    """

    baseline: Final[ExecutedVersion]
    candidate: Final[ExecutedVersion]
    report: Final[logs.CfnQueryDefinition]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: MLInferenceFunction,
        baseline_version: str,
        candidate_weight: float,
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        check_alias(self, function, problems)
        _check_not_provisioned(function, problems)
        _check_version(baseline_version, problems)
        _check_weight(candidate_weight, problems)
        problems.raise_if_any()  # what was looked up has nothing more to check
        _check_retained(function, problems)
        problems.raise_if_any()

        function.release = self
        current = function.function.current_version.version
        self.baseline = ExecutedVersion(function, baseline_version)
        self.candidate = ExecutedVersion(function, current)
        alias = cast("lambda_.CfnAlias", function.alias.node.default_child)
        alias.function_version = baseline_version
        alias.routing_config = lambda_.CfnAlias.AliasRoutingConfigurationProperty(
            additional_version_weights=[
                lambda_.CfnAlias.VersionWeightProperty(
                    function_version=current, function_weight=candidate_weight
                )
            ]
        )
        self.report = logs.CfnQueryDefinition(
            self,
            "Report",
            name=f"{self.node.path}/{log_queries.EXECUTED_VERSIONS.title}",
            query_string=log_queries.EXECUTED_VERSIONS.text,
            log_group_names=[function.log_group.log_group_name],
        )


def _check_not_provisioned(function: MLInferenceFunction, problems: Problems) -> None:
    if isinstance(function.warm_capacity, ProvisionedWarmPool):
        problems.add(
            f"{function.node.path} has provisioned concurrency",
            allowed="Lambda has none on an alias that is split, and the second deployment fails",
            remedy="use WarmStrategy.snap_start() or keep_warm(…) while you compare, or give each"
            " model a function of its own and split the traffic in front of them",
        )


def _check_retained(function: MLInferenceFunction, problems: Problems) -> None:
    if not function.retain_versions:
        problems.add(
            f"{function.node.path} retains no versions",
            allowed="CloudFormation deletes a version when a newer takes its place",
            remedy="give it retain_versions=True, one deployment ahead",
        )


def _check_version(version: str, problems: Problems) -> None:
    if are_known(version) and not (version.isascii() and version.isdecimal()):
        problems.add(
            f"baseline_version is {version!r}",
            allowed="an alias splits requests among published versions, which have numbers",
            remedy="give one such as '7', from the function's output Version",
        )


def _check_weight(weight: float, problems: Problems) -> None:
    if are_known(weight) and not 0 < weight < 1:
        problems.add(
            f"candidate_weight is {weight:g}",
            allowed="it is a share above 0 and below 1",
            remedy="give one such as 0.1, or leave the construct out for all or nothing",
        )
