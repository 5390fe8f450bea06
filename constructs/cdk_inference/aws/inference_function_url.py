"""A URL of a function's own, without an API in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jsii
from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_lambda as lambda_

from cdk_inference.aws.api_auth import ApiAuth
from cdk_inference.aws.imported_inference_function_url import ImportedInferenceFunctionUrl
from cdk_inference.aws.readiness import checklist as readiness
from cdk_inference.context import is_local
from cdk_inference.contract import INVOKE_MODE
from cdk_inference.validation import Problems
from constructs import Construct, IValidation

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam

    from cdk_inference.aws.addressable_function import AddressableFunction
    from cdk_inference.aws.inference_function import InferenceFunction
    from constructs import IConstruct

_STREAMED: Final = "RESPONSE_STREAM"
_API_GATEWAY: Final = "apigateway.amazonaws.com"


class InferenceFunctionUrl(Construct):
    """A Lambda function URL of a function's alias: every path of the runtime, without API Gateway.

    ``{url}predict`` predicts, or the path that the function was told otherwise; ``{url}health`` and
    ``{url}v2/…`` answer as well. Most apps get one from
    :meth:`MLInferenceFunction.add_function_url`.

    Unlike an API it has no throttle: what a public one can cost is bounded by the function's
    ``reserved_concurrency`` alone, so set that. It waits for as long as the function's timeout, up
    to 15 minutes, and costs nothing beside the function; of a streamed answer, each GB beyond its
    first 6 MB costs $0.008 (https://aws.amazon.com/lambda/pricing/).

    Args:
        function: whose alias answers.
        auth: who may call: :meth:`ApiAuth.iam` or :meth:`ApiAuth.public`. Default: IAM, since
            nothing is public unasked.
        invoke_mode: ``RESPONSE_STREAM`` sends answers of up to 200 MB, what is beyond 6 MB at 2 MB
            a second; it takes an image outside of any VPC. Default: ``BUFFERED``, up to 6 MB.
        cors: which browser origins may call. Default: none. Lambda then answers preflight requests
            itself, without running the function.

    Attributes:
        function_url: the CDK's construct.
        url: the address, with a ``/`` at its end.

    Raises:
        ConfigurationError: another ``auth``, a function that was looked up, or a stream from a zip
            or a VPC, which have none; at synth, a stream from a function that has an API too, which
            cannot read it.

    Example:
        >>> url = InferenceFunctionUrl(stack, "Url", function=function)
        >>> url.grant_invoke(caller)
    """

    function_url: Final[lambda_.FunctionUrl]
    url: Final[str]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: AddressableFunction,
        auth: ApiAuth | None = None,
        invoke_mode: lambda_.InvokeMode = lambda_.InvokeMode.BUFFERED,
        cors: lambda_.FunctionUrlCorsOptions | None = None,
    ) -> None:
        super().__init__(scope, id)
        auth = auth or ApiAuth.iam()
        # The emulator runs zips alone, and those answer whole.
        is_stream = invoke_mode is lambda_.InvokeMode.RESPONSE_STREAM and not is_local(self)

        problems = Problems(self.node.path)
        _check_auth(auth, problems)
        _check_made_here(function, problems)
        problems.raise_if_any()  # what was looked up has nothing more to check
        if is_stream:
            _check_stream(function, problems)
        problems.raise_if_any()

        if is_stream:
            function.function.add_environment(INVOKE_MODE, _STREAMED)
            function.node.add_validation(_OnlyUrl(function))
        self.function_url = lambda_.FunctionUrl(
            self,
            "FunctionUrl",
            function=function.alias,
            auth_type=(
                lambda_.FunctionUrlAuthType.NONE
                if auth.is_public
                else lambda_.FunctionUrlAuthType.AWS_IAM
            ),
            invoke_mode=(
                lambda_.InvokeMode.RESPONSE_STREAM if is_stream else lambda_.InvokeMode.BUFFERED
            ),
            cors=cors,
        )
        if auth.is_public:
            readiness.acknowledge(self, "PublicAccess", "asked for by name: ApiAuth.public()")
        self.url = self.function_url.url
        CfnOutput(self, "Url", value=self.url, description="Predictions are at predict below this")

    @staticmethod
    def from_url(
        scope: Construct, id: str, url: str, *, function: InferenceFunction
    ) -> ImportedInferenceFunctionUrl:
        """Look up a URL that was made elsewhere, to call it.

        Args:
            scope: where the look-up is.
            id: its own in ``scope``.
            url: the other app's output ``Url``.
            function: whose URL it is, looked up by :meth:`MLInferenceFunction.from_alias_arn`.

        Raises:
            ConfigurationError: ``url`` is none.

        Example:
            >>> url = InferenceFunctionUrl.from_url(stack, "Url", digits_url, function=digits)
            >>> url.grant_invoke(caller)
        """
        return ImportedInferenceFunctionUrl(scope, id, url, function)

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to call the URL with signed requests, and nothing else."""
        return self.function_url.grant_invoke_url(grantee)


@jsii.implements(IValidation)
class _OnlyUrl:
    """An API may be added after the URL."""

    def __init__(self, function: AddressableFunction) -> None:
        self._function = function

    def validate(self) -> list[str]:
        if not self._is_behind_an_api():
            return []
        return [
            "the function has a URL that streams, and an API; API Gateway cannot read a stream that"
            " is not its own; give the URL InvokeMode.BUFFERED, or the API a function of its own"
        ]

    def _is_behind_an_api(self) -> bool:
        app = self._function.node.root
        return any(self._lets_an_api_call(construct) for construct in app.node.find_all())

    def _lets_an_api_call(self, construct: IConstruct) -> bool:
        """Whether it is API Gateway's permission to call the alias."""
        if not isinstance(construct, lambda_.CfnPermission) or construct.principal != _API_GATEWAY:
            return False
        names = [construct.function_name, self._function.alias.function_arn]
        called, alias = Stack.of(construct).resolve(names)
        return bool(called == alias)


def _check_auth(auth: ApiAuth, problems: Problems) -> None:
    if not (auth.is_public or auth.is_iam):
        problems.add(
            f"auth is {auth!r}",
            allowed="a function URL knows IAM and public alone",
            remedy="use ApiAuth.iam() or ApiAuth.public(), or put an API in front",
        )


def _check_made_here(function: InferenceFunction, problems: Problems) -> None:
    if function.alias.node.default_child is None:
        problems.add(
            f"{function.node.path} was looked up",
            allowed="AWS CloudFormation gives a URL to the functions of its own stack",
            remedy="add the URL to the app that makes the function",
        )


# https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
def _check_stream(function: AddressableFunction, problems: Problems) -> None:
    if function.function.runtime.name != lambda_.Runtime.FROM_IMAGE.name:
        problems.add(
            "invoke_mode is RESPONSE_STREAM",
            allowed="Lambda's managed Python runtimes, which run a zip, answer whole",
            remedy="use Packaging.IMAGE, or InvokeMode.BUFFERED",
        )
    if function.network is not None:
        problems.add(
            "invoke_mode is RESPONSE_STREAM",
            allowed="a function URL streams nothing from inside a VPC",
            remedy="leave vpc and mounted stores out, or use InvokeMode.BUFFERED",
        )
