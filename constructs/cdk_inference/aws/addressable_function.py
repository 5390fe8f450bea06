"""A function that is made here, and what can be put in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from aws_cdk import aws_lambda as lambda_

from cdk_inference.aws.inference_function import InferenceFunction
from cdk_inference.aws.inference_function_url import InferenceFunctionUrl
from cdk_inference.aws.inference_http_api import InferenceHttpApi
from cdk_inference.aws.inference_rest_api import InferenceRestApi
from cdk_inference.contract import CORS_ORIGINS, DEFAULT_PREDICT_PATH, PREDICT_PATH
from cdk_inference.validation import Problems

if TYPE_CHECKING:
    from cdk_inference.aws.api_auth import ApiAuth
    from cdk_inference.aws.http_front import HttpApiOptions
    from cdk_inference.aws.model_source import AnyModel
    from cdk_inference.aws.network import Network
    from cdk_inference.aws.rest_front import RestApiOptions


class AddressableFunction(InferenceFunction):
    """A function that can be given an HTTP API, a REST API and a URL, each on its alias.

    Attributes:
        function: the function, which is told what they need of it.
        model: what it serves.
        network: the VPC and its subnets; ``None`` outside of any.
        has_pipeline: whether code of the user's is around the model.
    """

    function: lambda_.Function
    model: AnyModel
    network: Network | None
    has_pipeline: bool
    _predict_path: str | None = None

    def add_http_api(
        self, path: str = DEFAULT_PREDICT_PATH, **options: Unpack[HttpApiOptions]
    ) -> InferenceHttpApi:
        """Put an HTTP API in front of the alias; a function has at most one.

        Args and defaults: as :class:`InferenceHttpApi`.

        Raises:
            ConfigurationError: as :class:`InferenceHttpApi`.

        Example:
            >>> function.add_http_api("/digits", auth=ApiAuth.public()).url
        """
        api = InferenceHttpApi(
            self,
            "HttpApi",
            handler=self.alias,
            path=path,
            model=self.model,
            has_pipeline=self.has_pipeline,
            **options,
        )
        self._serve_at(path)
        return api

    def add_rest_api(
        self, path: str = DEFAULT_PREDICT_PATH, **options: Unpack[RestApiOptions]
    ) -> InferenceRestApi:
        """Put a REST API in front of the alias; a function has at most one.

        Args and defaults: as :class:`InferenceRestApi`.

        Raises:
            ConfigurationError: as :class:`InferenceRestApi`.

        Example:
            >>> function.add_rest_api(web_acl_arn=acl.attr_arn).url
        """
        api = InferenceRestApi(
            self,
            "RestApi",
            handler=self.alias,
            path=path,
            model=self.model,
            has_pipeline=self.has_pipeline,
            **options,
        )
        self._serve_at(path)
        if origins := options.get("cors_origins"):
            self.function.add_environment(CORS_ORIGINS, ",".join(origins))
        return api

    def add_function_url(
        self,
        *,
        auth: ApiAuth | None = None,
        invoke_mode: lambda_.InvokeMode = lambda_.InvokeMode.BUFFERED,
        cors: lambda_.FunctionUrlCorsOptions | None = None,
    ) -> InferenceFunctionUrl:
        """Give the alias a URL of its own, without an API in front; a function has at most one.

        Args and defaults: as :class:`InferenceFunctionUrl`.

        Raises:
            ConfigurationError: as :class:`InferenceFunctionUrl`.

        Example:
            >>> function.add_function_url(invoke_mode=lambda_.InvokeMode.RESPONSE_STREAM).url
        """
        return InferenceFunctionUrl(
            self, "FunctionUrl", function=self, auth=auth, invoke_mode=invoke_mode, cors=cors
        )

    def _serve_at(self, path: str) -> None:
        """Tell the runtime the path of an API; both of a function have the same."""
        if self._predict_path not in (None, path):
            problems = Problems(self.node.path)
            problems.add(
                f"path is {path!r}",
                allowed=f"the function answers at {self._predict_path!r} for its other API",
                remedy="give both APIs the same path",
            )
            problems.raise_if_any()
        self._predict_path = path
        if path != DEFAULT_PREDICT_PATH:
            self.function.add_environment(PREDICT_PATH, path)
