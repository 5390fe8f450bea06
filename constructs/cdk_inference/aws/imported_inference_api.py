"""APIs in front of models that were made elsewhere, found by their ids."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from cdk_inference.aws.api_routes import (
    calls_by_name,
    calls_of_one,
    check_model_name,
    check_path,
)
from cdk_inference.aws.tokens import are_known
from cdk_inference.contract import predict_path
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_API_ID: Final = re.compile(r"[a-z0-9]+", re.ASCII)


@dataclass(frozen=True)
class ApiPlace:
    """Where an API is that was made elsewhere.

    Attributes:
        api_id: its id, of either kind.
        stage: the name of its only stage.
        stage_path: what its URL has of that.
        region: where it is; ``None`` for that of whoever looks it up.
        domain_name: of its own; ``None`` for API Gateway's.
    """

    api_id: str
    stage: str
    stage_path: str
    region: str | None
    domain_name: str | None

    def check(self, problems: Problems) -> None:
        """Record a problem if that is no id."""
        if are_known(self.api_id) and not _API_ID.fullmatch(self.api_id):
            problems.add(
                f"api_id is {self.api_id!r}",
                allowed="API Gateway's ids are of small letters and digits",
                remedy="give the attribute api.api_id of an HTTP API or api.rest_api_id of a REST"
                " API, or what its own URL begins with, such as 'a1b2c3d4e5'",
            )

    def root(self, scope: Construct) -> str:
        """Its URL, without a ``/`` at the end."""
        if self.domain_name is not None:
            return f"https://{self.domain_name}"
        stack = Stack.of(scope)
        region = self.region or stack.region
        host = f"{self.api_id}.execute-api.{region}.{stack.url_suffix}"
        return f"https://{host}{self.stage_path}"

    def grant(
        self, scope: Construct, grantee: iam.IGrantable, calls: Iterable[tuple[str, str]]
    ) -> iam.Grant:
        """Allow ``grantee`` each of ``calls``, method and path."""
        stage = Stack.of(scope).format_arn(
            service="execute-api",
            region=self.region,
            resource=self.api_id,
            resource_name=self.stage,
        )
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["execute-api:Invoke"],
            resource_arns=[f"{stage}/{method}{path}" for method, path in calls],
        )


class ImportedInferenceApi(Construct):
    """An API of another app: what ``from_api_id`` of :class:`InferenceHttpApi` and of
    :class:`InferenceRestApi` looks up.

    Attributes:
        url: where predictions are posted to.

    Example:
        >>> api = InferenceHttpApi.from_api_id(stack, "Digits", "a1b2c3d4e5")
        >>> api.grant_invoke(caller)
    """

    url: Final[str]

    def __init__(
        self, scope: Construct, id: str, place: ApiPlace, *, path: str, model_name: str | None
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        place.check(problems)
        check_path(path, problems)
        if model_name is not None:
            check_model_name(model_name, problems)
        problems.raise_if_any()

        self.url = f"{place.root(self)}{path}"
        self._place = place
        self._calls = calls_of_one(path, model_name)

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee``, which is of the API's own account, to call every route. For an API
        with :meth:`ApiAuth.iam` only.
        """
        return self._place.grant(self, grantee, self._calls)


class ImportedMultiModelApi(Construct):
    """An API of another app: what ``from_api_id`` of :class:`MultiModelApi` and of
    :class:`MultiModelRestApi` looks up.

    Attributes:
        url: of the API; a model's own is :meth:`predict_url`.

    Example:
        >>> names = ["digits", "faces"]
        >>> api = MultiModelApi.from_api_id(stack, "Models", "a1b2c3d4e5", model_names=names)
        >>> api.predict_url("digits")
    """

    url: Final[str]

    def __init__(
        self, scope: Construct, id: str, place: ApiPlace, *, model_names: Sequence[str]
    ) -> None:
        super().__init__(scope, id)
        problems = Problems(self.node.path)
        place.check(problems)
        if not model_names:
            problems.add(
                "model_names is empty",
                allowed="an API has at least one model",
                remedy="give the names of those that are called",
            )
        for name in model_names:
            check_model_name(name, problems)
        problems.raise_if_any()

        self.url = place.root(self)
        self._place = place
        self._names = tuple(model_names)

    def predict_url(self, name: str) -> str:
        """Where predictions of the model ``name`` are posted to."""
        return f"{self.url}{predict_path(name)}"

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee``, which is of the API's own account, to call every path of the models
        that were named. For an API with :meth:`ApiAuth.iam` only.
        """
        calls = [call for name in self._names for call in calls_by_name(name)]
        return self._place.grant(self, grantee, calls)
