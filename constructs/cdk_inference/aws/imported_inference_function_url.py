"""A function's URL that was made elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import aws_iam as iam

from cdk_inference.aws.tokens import are_known
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from cdk_inference.aws.inference_function import InferenceFunction


class ImportedInferenceFunctionUrl(Construct):
    """The URL of another app's function: what :meth:`InferenceFunctionUrl.from_url` looks up.

    Attributes:
        url: the address, with a ``/`` at its end.

    Example:
        >>> digits = MLInferenceFunction.from_alias_arn(stack, "Digits", digits_alias_arn)
        >>> url = InferenceFunctionUrl.from_url(stack, "Url", digits_url, function=digits)
        >>> url.grant_invoke(caller)
    """

    url: Final[str]

    def __init__(self, scope: Construct, id: str, url: str, function: InferenceFunction) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        if are_known(url) and not (url.startswith("https://") and url.endswith("/")):
            problems.add(
                f"url is {url!r}",
                allowed="a function URL has https:// at its start and / at its end",
                remedy="give the other app's output Url",
            )
        problems.raise_if_any()
        self.url = url
        self._alias_arn = function.alias.function_arn

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to call the URL with signed requests, and nothing else; another account
        must allow it on its side, too.
        """
        # Both: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
        address = iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["lambda:InvokeFunctionUrl"],
            resource_arns=[self._alias_arn],
            conditions={"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
        )
        invocation = iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["lambda:InvokeFunction"],
            resource_arns=[self._alias_arn],
            conditions={"Bool": {"lambda:InvokedViaFunctionUrl": True}},
        )
        return address.combine(invocation)
