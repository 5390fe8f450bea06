"""A REST API in front of a function that serves a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from aws_cdk import CfnOutput
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from cdk_inference.aws.api_routes import check_path, routes_of_one
from cdk_inference.aws.imported_inference_api import ApiPlace, ImportedInferenceApi
from cdk_inference.aws.rest_front import STAGE, RestFront
from cdk_inference.contract import DEFAULT_PREDICT_PATH
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_

    from cdk_inference.aws.model_source import AnyModel
    from cdk_inference.aws.rest_front import RestApiOptions


class InferenceRestApi(Construct):
    """An API Gateway REST API, for what an HTTP API has not: API keys with usage plans, AWS WAF,
    and requests that are checked against the model's signature before a function runs.

    It answers the same paths as :class:`InferenceHttpApi`, below its stage, ``/prod``. What does
    not fit the model is answered with 400 by API Gateway itself. Raw tensors of the Open Inference
    Protocol travel as ``Content-Type: application/octet-stream``, and come back where that is the
    first type in ``Accept``. API Gateway expands no compressed JSON.

    Costs $3.50 for each million requests, beside the function
    (https://aws.amazon.com/api-gateway/pricing/); takes bodies of at most 10 MB, of which Lambda
    takes 6. There is a warning at synth where the function may run for longer than the API waits.

    Args:
        handler: the function, or better its alias, that answers.
        path: where the handler answers predictions. Default: ``/predict``.
        model: what it serves. Default: not known: requests are passed on unchecked, and the Open
            Inference Protocol's paths are not answered.
        has_pipeline: whether code of yours reads the requests for predictions, so that the model's
            signature does not tell their form. Default: false.
        auth: who may call: :meth:`ApiAuth.iam`, ``cognito``, ``token`` or ``public``. Default:
            :meth:`ApiAuth.iam`, since nothing is public unasked.
        cors_origins: which browser origins may call. Default: none. API Gateway answers preflight
            requests itself; answers have the header that the function gives them, as its setting
            ``INFERENCE_CORS_ORIGINS`` says.
        throttle: requests per second, and how many at once, before callers get 429. Default: 100
            and 200, so that a public API cannot run up the account's whole concurrency.
        usage_plans: with one or more, each request needs an API key (``x-api-key``). Default: none.
        domain: a domain name of your own. Default: none; the API has one of API Gateway's.
        web_acl_arn: a regional web ACL of AWS WAF. Default: none; one costs $5 a month and more
            (https://aws.amazon.com/waf/pricing/).
        timeout: how long the API waits. Default: 29 seconds, and longer only where the account's
            quota was raised.
        log_retention: how long access and error logs are kept. Default: one month.
        log_encryption_key: encrypts them. Default: CloudWatch's own key, which costs nothing.
        account_logging: whether to make the role by which API Gateway writes logs, one for all REST
            APIs of the account and region. Default: true, since without one the deployment fails;
            give false where it is set already.

    Attributes:
        api: the REST API.
        stage: its only stage, ``prod``, deployed at every change.
        log_group: the access logs, kept when the stack is deleted.
        usage_plans: by name.
        api_keys: by name.
        url: where predictions are posted to.
        openapi: the API's OpenAPI 3.1 document, to be written to a file as JSON.

    Raises:
        ConfigurationError: ``path`` is no path, has parameters or a ``~``, or is ``/health`` or
            below ``/v2``; an ``auth`` that a REST API has not; two plans or keys of one name.

    Example:
        >>> plan = UsagePlan("Partners", rate_limit=10, burst_limit=20, keys=["Acme"])
        >>> api = InferenceRestApi(stack, "Api", handler=function.alias, usage_plans=[plan])
        >>> Path("openapi.json").write_text(json.dumps(api.openapi))
    """

    api: Final[apigateway.RestApi]
    stage: Final[apigateway.Stage]
    log_group: Final[logs.LogGroup]
    usage_plans: Final[dict[str, apigateway.UsagePlan]]
    api_keys: Final[dict[str, apigateway.ApiKey]]
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
        **options: Unpack[RestApiOptions],
    ) -> None:
        super().__init__(scope, id)
        front = RestFront(**options)
        problems = Problems(self.node.path)
        check_path(path, problems)
        _check_tilde(path, problems)
        front.check(problems)
        problems.raise_if_any()

        routes = routes_of_one(handler, path, model, has_pipeline=has_pipeline)
        self._made = made = front.make(self, routes)
        self.api = made.api
        self.stage = made.stage
        self.log_group = made.log_group
        self.usage_plans = made.usage_plans
        self.api_keys = made.api_keys
        self.openapi = made.openapi
        self.url = f"{made.root}{path}"
        CfnOutput(self, "Url", value=self.url, description="POST predictions here")
        CfnOutput(
            self,
            "OpenApiCommand",
            value=made.export_command,
            description="Writes the OpenAPI document of what is deployed",
        )

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
            >>> api = InferenceRestApi.from_api_id(stack, "Digits", "a1b2c3d4e5")
            >>> api.grant_invoke(caller)
        """
        place = ApiPlace(api_id, STAGE, f"/{STAGE}", region, domain_name)
        return ImportedInferenceApi(scope, id, place, path=path, model_name=model_name)

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to call every path. For an API with :meth:`ApiAuth.iam` only.

        Raises:
            ConfigurationError: the API lets its callers in otherwise.
        """
        return self._made.grant_invoke(grantee)


def _check_tilde(path: str, problems: Problems) -> None:
    if "~" in path:
        problems.add(
            f"path is {path!r}",
            allowed="a REST API takes no '~' in a path",
            remedy="choose another path, or use an HTTP API",
        )
