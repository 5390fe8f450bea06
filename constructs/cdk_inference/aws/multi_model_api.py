"""One HTTP API in front of several models, each with a function of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from aws_cdk import CfnOutput
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from cdk_inference.aws.http_front import STAGE, HttpFront
from cdk_inference.aws.imported_inference_api import ApiPlace, ImportedMultiModelApi
from cdk_inference.aws.served_model import check_models, make_functions, routes_of
from cdk_inference.contract import predict_path
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdk_inference.aws.http_front import HttpApiOptions
    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.aws.served_model import ServedModel


class MultiModelApi(Construct):
    """One API Gateway HTTP API in front of several models, each with a function of its own, so that
    each has its own memory, its own way to be kept warm, and its own versions.

    Of each model it answers ``POST /models/{name}/predict`` in the simple form, and the Open
    Inference Protocol's ``POST /v2/models/{name}/infer``, ``GET /v2/models/{name}`` and
    ``GET /v2/models/{name}/ready``. Costs what its functions and its requests do, and nothing for
    models that nobody asks.

    With API keys, AWS WAF, and requests checked by their schema: :class:`MultiModelRestApi`.

    Args:
        models: each model by its name, which is the one in its paths, in the Open Inference
            Protocol and in logs, whatever the model was called before.
        options: ``auth``, ``cors``, ``throttle`` of all models together, ``domain``,
            ``log_retention`` and ``log_encryption_key``, as of :class:`InferenceHttpApi`.

    Attributes:
        functions: the function of each model by its name.
        api: the HTTP API.
        stage: its only stage, ``$default``, deployed at every change.
        log_group: the access logs, kept when the stack is deleted.
        url: of the API; a model's own is :meth:`predict_url`.
        openapi: the API's OpenAPI 3.1 document, to be written to a file as JSON.

    Raises:
        ConfigurationError: no model, a name that fits no path, or as :class:`InferenceHttpApi` and
            :class:`MLInferenceFunction`.

    Example:
        >>> api = MultiModelApi(
        ...     stack,
        ...     "Models",
        ...     models={"digits": ServedModel(digits), "faces": ServedModel(faces)},
        ... )
        >>> api.predict_url("digits")
    """

    functions: Final[dict[str, MLInferenceFunction]]
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
        models: Mapping[str, ServedModel],
        **options: Unpack[HttpApiOptions],
    ) -> None:
        super().__init__(scope, id)
        front = HttpFront(**options)
        problems = Problems(self.node.path)
        check_models(models, problems)
        front.check(problems)
        problems.raise_if_any()

        self.functions = make_functions(Construct(self, "Models"), models)
        self._made = made = front.make(self, routes_of(self.functions))
        self.api = made.api
        self.stage = made.stage
        self.log_group = made.log_group
        self.openapi = made.openapi
        self.url = made.root
        CfnOutput(
            self, "Url", value=self.url, description="POST predictions to /models/{name}/predict"
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
            >>> api = MultiModelApi.from_api_id(stack, "All", "a1b2c3d4e5", model_names=names)
            >>> api.predict_url("digits")
        """
        place = ApiPlace(api_id, STAGE, "", region, domain_name)
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
