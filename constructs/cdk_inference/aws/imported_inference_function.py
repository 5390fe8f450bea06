"""A function that serves a model and was made elsewhere, found by the ARN of its alias."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aws_cdk import Fn
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from cdk_inference.aws.inference_function import InferenceFunction
from cdk_inference.aws.tokens import are_known
from cdk_inference.aws.warm_strategy import WarmStrategy
from cdk_inference.validation import Problems

if TYPE_CHECKING:
    from aws_cdk import Duration, Size
    from aws_cdk import aws_logs as logs

    from constructs import Construct

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html: a name that is no number.
_ALIAS_ARN: Final = re.compile(
    r"arn:[\w-]+:lambda:[a-z0-9-]+:\d{12}:function:[\w-]+:(?!\d+$)[\w-]+", re.ASCII
)


class ImportedInferenceFunction(InferenceFunction):
    """What :meth:`MLInferenceFunction.from_alias_arn` looks up; arguments as there."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        alias_arn: str,
        *,
        log_group: logs.ILogGroup | None,
        memory_size: Size | None,
        timeout: Duration | None,
        reserved_concurrency: int | None,
        architecture: lambda_.Architecture | None,
        same_environment: bool,
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        _check_arn(alias_arn, problems)
        problems.raise_if_any()

        function_arn, self.alias_name = _split(alias_arn)
        self.function, self.alias = (
            lambda_.Function.from_function_attributes(
                self,
                id,
                function_arn=arn,
                architecture=architecture,
                same_environment=same_environment or None,
            )
            for id, arn in (("Function", function_arn), ("Alias", alias_arn))
        )
        self.title = self.function.function_name
        self.log_group = log_group
        self.memory_size = memory_size
        self.timeout = timeout
        self.reserved_concurrency = reserved_concurrency
        self.warm_strategy = WarmStrategy.none()
        self.warm_capacity = None

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to invoke the alias; another account must allow it on its side, too."""
        # The CDK's own grant for something looked up adds what is below it, with a wildcard.
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["lambda:InvokeFunction"],
            resource_arns=[self.alias.function_arn],
        )


def _check_arn(alias_arn: str, problems: Problems) -> None:
    if are_known(alias_arn) and not _ALIAS_ARN.fullmatch(alias_arn):
        problems.add(
            f"alias_arn is {alias_arn!r}",
            allowed="an alias has arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS",
            remedy="give the output AliasArn of an MLInferenceFunction, or add the alias's name",
        )


def _split(alias_arn: str) -> tuple[str, str]:
    """The function's ARN, and the alias's name."""
    if are_known(alias_arn):
        function_arn, _, alias_name = alias_arn.rpartition(":")
        return function_arn, alias_name
    parts = [Fn.select(index, Fn.split(":", alias_arn)) for index in range(8)]
    return ":".join(parts[:7]), parts[7]
