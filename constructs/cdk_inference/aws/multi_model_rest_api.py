"""One REST API in front of several models, each with a function of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from aws_cdk import CfnOutput
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from cdk_inference.aws.imported_inference_api import ApiPlace, ImportedMultiModelApi
from cdk_inference.aws.rest_front import STAGE, RestFront
from cdk_inference.aws.served_model import check_models, make_functions, routes_of
from cdk_inference.contract import CORS_ORIGINS, predict_path
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.aws.rest_front import RestApiOptions
    from cdk_inference.aws.served_model import ServedModel


class MultiModelRestApi(Construct):
    """A :class:`MultiModelApi` with what a REST API has: API keys with usage plans, AWS WAF, and
    requests that are checked against the signature of the model that they are for.

    Answers the same paths, below its stage, ``/prod``.

    Args:
        models: each model by its name, as of :class:`MultiModelApi`.
        options: ``auth``, ``cors_origins``, ``throttle`` of all models together, ``usage_plans``,
            ``domain``, ``web_acl_arn``, ``timeout``, ``log_retention``, ``log_encryption_key`` and
            ``account_logging``, as of :class:`InferenceRestApi`.

    Attributes:
        functions: the function of each model by its name.
        api: the REST API.
        stage: its only stage, ``prod``, deployed at every change.
        log_group: the access logs, kept when the stack is deleted.
        usage_plans: by name.
        api_keys: by name.
        url: of the API with its stage; a model's own is :meth:`predict_url`.
        openapi: the API's OpenAPI 3.1 document, to be written to a file as JSON.

    Raises:
        ConfigurationError: no model, a name that fits no path, or as :class:`InferenceRestApi` and
            :class:`MLInferenceFunction`.

    Example:
        >>> plan = UsagePlan("Partners", rate_limit=10, burst_limit=20, keys=["Acme"])
        >>> models = {"digits": ServedModel(digits), "faces": ServedModel(faces)}
        >>> MultiModelRestApi(stack, "Models", models=models, usage_plans=[plan])
    """

    functions: Final[dict[str, MLInferenceFunction]]
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
        models: Mapping[str, ServedModel],
        **options: Unpack[RestApiOptions],
    ) -> None:
        super().__init__(scope, id)
        front = RestFront(**options)
        problems = Problems(self.node.path)
        check_models(models, problems)
        front.check(problems)
        problems.raise_if_any()

        self.functions = make_functions(Construct(self, "Models"), models)
        if front.cors_origins:
            for function in self.functions.values():
                function.function.add_environment(CORS_ORIGINS, ",".join(front.cors_origins))
        self._made = made = front.make(self, routes_of(self.functions))
        self.api = made.api
        self.stage = made.stage
        self.log_group = made.log_group
        self.usage_plans = made.usage_plans
        self.api_keys = made.api_keys
        self.openapi = made.openapi
        self.url = made.root
        CfnOutput(
            self, "Url", value=self.url, description="POST predictions to /models/{name}/predict"
        )
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
        model_names: Sequence[str],
        region: str | None = None,
        domain_name: str | None = None,
    ) -> ImportedMultiModelApi:
        """Look up an API that was made elsewhere, to call it.

        Args:
            scope: where the look-up is.
            id: its own in ``scope``.
            api_id: the API's, which its own URL begins with.
            model_names: of those of its models that are called.
            region: of the API. Default: the stack's own.
            domain_name: of the API's own. Default: none.

        Raises:
            ConfigurationError: ``api_id`` or one of ``model_names`` is none, or there is no name.

        Example:
            >>> names = ["digits", "faces"]
            >>> api = MultiModelRestApi.from_api_id(stack, "All", "a1b2c3d4e5", model_names=names)
            >>> api.predict_url("digits")
        """
        place = ApiPlace(api_id, STAGE, f"/{STAGE}", region, domain_name)
        return ImportedMultiModelApi(scope, id, place, model_names=model_names)

    def predict_url(self, name: str) -> str:
        """Where predictions of the model ``name`` are posted to."""
        return f"{self.url}{predict_path(self.functions[name].model.name)}"

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to call every path. For an API with :meth:`ApiAuth.iam` only.

        Raises:
            ConfigurationError: the API lets its callers in otherwise.
        """
        return self._made.grant_invoke(grantee)
