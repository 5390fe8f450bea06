"""One model of several behind one API, and the function that serves it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from aws_cdk import aws_logs as logs

from cdk_inference.aws.api_routes import check_model_name, routes_by_name
from cdk_inference.aws.ml_inference_function import MLInferenceFunction
from cdk_inference.aws.packaging import Packaging
from cdk_inference.aws.telemetry import Tracing
from cdk_inference.limits import LAMBDA_DEFAULT_PYTHON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import Duration, Size
    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_lambda as lambda_

    from cdk_inference.aws.api_routes import ApiRoute
    from cdk_inference.aws.model_source import AnyModel, ModelSource
    from cdk_inference.aws.warm_strategy import WarmStrategy
    from cdk_inference.validation import Problems
    from constructs import Construct


@dataclass(frozen=True)
class ServedModel:
    """A model behind a :class:`MultiModelApi`, and what its function is like.

    Attributes:
        model: what is served.

    The others are as of :class:`MLInferenceFunction`, with the same defaults.

    Example:
        >>> ServedModel(faces, memory_size=Size.gibibytes(4), packaging=Packaging.ZIP)
    """

    model: AnyModel
    model_source: ModelSource | None = None
    packaging: Packaging = Packaging.IMAGE
    memory_size: Size | None = None
    timeout: Duration | None = None
    architecture: lambda_.Architecture | None = None
    python_version: str = LAMBDA_DEFAULT_PYTHON
    base_image: str | None = None
    ephemeral_storage: Size | None = None
    environment: Mapping[str, str] | None = None
    log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH
    reserved_concurrency: int | None = None
    retain_versions: bool = False
    warm_strategy: WarmStrategy | None = None
    vpc: ec2.IVpc | None = None
    vpc_subnets: ec2.SubnetSelection | None = None
    tracing: Tracing = Tracing.X_RAY
    lambda_insights: bool = False

    def make(self, scope: Construct, name: str) -> MLInferenceFunction:
        """The function that serves the model as ``name``."""
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        return MLInferenceFunction(
            scope, name, **options | {"model": replace(self.model, name=name)}
        )


def check_models(models: Mapping[str, ServedModel], problems: Problems) -> None:
    """Record whatever one API cannot have behind it."""
    if not models:
        problems.add(
            "models is empty",
            allowed="an API has at least one path",
            remedy="give a ServedModel for each name",
        )
    for name in models:
        check_model_name(name, problems)


def make_functions(
    scope: Construct, models: Mapping[str, ServedModel]
) -> dict[str, MLInferenceFunction]:
    """The function of each model by its name; made in ``scope``."""
    return {name: served.make(scope, name) for name, served in models.items()}


def routes_of(functions: Mapping[str, MLInferenceFunction]) -> list[ApiRoute]:
    """The paths of all ``functions``, with the models' names in them."""
    return [
        route
        for name, function in functions.items()
        for route in routes_by_name(
            f"{name}-", function.alias, function.model, has_pipeline=function.has_pipeline
        )
    ]
