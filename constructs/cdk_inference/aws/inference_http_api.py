"""An HTTP API in front of a function that serves a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from aws_cdk import CfnOutput
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from cdk_inference.aws.api_routes import check_path, routes_of_one
from cdk_inference.aws.http_front import STAGE, HttpFront
from cdk_inference.aws.imported_inference_api import ApiPlace, ImportedInferenceApi
from cdk_inference.contract import DEFAULT_PREDICT_PATH
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_

    from cdk_inference.aws.http_front import HttpApiOptions
    from cdk_inference.aws.model_source import AnyModel


class InferenceHttpApi(Construct):
    """An API Gateway HTTP API: ``POST {path}`` predicts, ``GET /health`` tells the model's version.

    Where the model is known, the Open Inference Protocol's ``POST /v2/models/{name}/infer``,
    ``GET /v2/models/{name}`` and ``GET /v2/models/{name}/ready`` are answered as well.

    Most apps get one from :meth:`MLInferenceFunction.add_http_api`, which also tells the function
    its path. Access logs are JSON, one line a request, in a log group of their own.

    API Gateway waits 30 seconds at most for an answer and takes bodies of at most 10 MB, of which
    Lambda takes 6: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
    There is a warning at synth where the function may run for longer.

    Args:
        handler: the function, or better its alias, that answers.
        path: where the handler answers predictions. Default: ``/predict``.
        model: what it serves. Default: not known, and only those two paths are answered.
        has_pipeline: whether code of yours reads the requests for predictions, so that the model's
            signature does not tell their form. Default: false.
        auth: who may call: :meth:`ApiAuth.iam`, ``jwt``, ``cognito``, ``token`` or ``public``.
            Default: :meth:`ApiAuth.iam`, since nothing is public unasked.
        cors: which browser origins may call. Default: none. API Gateway then answers preflight
            requests itself, without authorization and without running the function.
        throttle: requests per second, and how many at once, before callers get 429. Default: 100
            and 200, so that a public API cannot run up the account's whole concurrency.
        domain: a domain name of your own. Default: none; the API has one of API Gateway's.
        web_acl_arn: refused: AWS WAF protects no HTTP API. Use :class:`InferenceRestApi`.
        log_retention: how long access logs are kept. Default: one month.
        log_encryption_key: encrypts them. Default: CloudWatch's own key, which costs nothing.

    Attributes:
        api: the HTTP API.
        stage: its only stage, ``$default``, deployed at every change.
        log_group: the access logs, kept when the stack is deleted.
        url: where predictions are posted to.
        openapi: the API's OpenAPI 3.1 document, to be written to a file as JSON.

    Raises:
        ConfigurationError: ``path`` is no path, has parameters, or is ``/health`` or below
            ``/v2``; a web ACL; an ``auth`` that lacks what an HTTP API needs.

    Example:
        >>> api = InferenceHttpApi(stack, "Api", handler=function.alias, auth=ApiAuth.public())
        >>> api.grant_invoke(caller)  # only with ApiAuth.iam()
    """

    api: Final[apigwv2.HttpApi]
    stage: Final[apigwv2.HttpStage]
    log_group: Final[logs.LogGroup]
    url: Final[str]
    openapi: Final[dict[str, Any]]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        handler: lambda_.IFunction,
        path: str = DEFAULT_PREDICT_PATH,
        model: AnyModel | None = None,
        has_pipeline: bool = False,
        **options: Unpack[HttpApiOptions],
    ) -> None:
        super().__init__(scope, id)
        front = HttpFront(**options)
        problems = Problems(self.node.path)
        check_path(path, problems)
        front.check(problems)
        problems.raise_if_any()

        routes = routes_of_one(handler, path, model, has_pipeline=has_pipeline)
        self._made = made = front.make(self, routes)
        self.api = made.api
        self.stage = made.stage
        self.log_group = made.log_group
        self.openapi = made.openapi
        self.url = f"{made.root}{path}"
        CfnOutput(self, "Url", value=self.url, description="POST predictions here")

    @staticmethod
    def from_api_id(
        scope: Construct,
        id: str,
        api_id: str,
        *,
        path: str = DEFAULT_PREDICT_PATH,
        model_name: str | None = None,
        region: str | None = None,
        domain_name: str | None = None,
    ) -> ImportedInferenceApi:
        """Look up an API that was made elsewhere, to call it.

        Args:
            scope: where the look-up is.
            id: its own in ``scope``.
            api_id: the API's, which its own URL begins with.
            path: where it answers predictions. Default: ``/predict``.
            model_name: what its model is called in the Open Inference Protocol. Default: not known,
                so that nobody is allowed to call that.
            region: of the API. Default: the stack's own.
            domain_name: of the API's own. Default: none.

        Raises:
            ConfigurationError: ``api_id``, ``path`` or ``model_name`` is none.

        Example:
            >>> api = InferenceHttpApi.from_api_id(stack, "Digits", "a1b2c3d4e5")
            >>> api.grant_invoke(caller)
        """
        place = ApiPlace(api_id, STAGE, "", region, domain_name)
        return ImportedInferenceApi(scope, id, place, path=path, model_name=model_name)

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to call every route. For an API with :meth:`ApiAuth.iam` only.

        Raises:
            ConfigurationError: the API lets its callers in otherwise.
        """
        return self._made.grant_invoke(grantee)
