"""The digits model behind APIs: for holders of keys, for users who log in, and twice behind one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Acknowledgment, CfnOutput, Size, Stack, Validations
from aws_cdk import aws_cognito as cognito
from cdk_inference import (
    ApiAuth,
    InferenceModel,
    MLInferenceFunction,
    MultiModelApi,
    MultiModelRestApi,
    Packaging,
    ServedModel,
    UsagePlan,
    WarmStrategy,
)

from stacks.demonstration import demonstrate

if TYPE_CHECKING:
    from constructs import Construct

_MODEL: Final = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"


class RestApiStack(Stack):
    """For callers that sign their requests and have an API key, each with a quota.

    Example:
        >>> RestApiStack(cdk.App(), "RestApiStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        digits = MLInferenceFunction(
            self,
            "Keyed",
            model=InferenceModel.from_file(_MODEL),
            packaging=Packaging.ZIP,
        )
        digits.add_rest_api(
            usage_plans=[
                UsagePlan("Partners", rate_limit=10, burst_limit=20, quota=100_000, keys=["Acme"])
            ],
        )


class UserPoolApiStack(Stack):
    """For the users of one Amazon Cognito user pool, over an HTTP API and over a REST API.

    Example:
        >>> UserPoolApiStack(cdk.App(), "UserPoolApiStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        users = _users(self)
        client = users.add_client(
            "Shop", auth_flows=cognito.AuthFlow(admin_user_password=True), generate_secret=False
        )
        digits = MLInferenceFunction(
            self,
            "Members",
            model=InferenceModel.from_file(_MODEL),
            packaging=Packaging.ZIP,
        )
        digits.add_http_api(auth=ApiAuth.cognito(users, clients=[client]))
        digits.add_rest_api(auth=ApiAuth.cognito(users))
        CfnOutput(self, "UserPool", value=users.user_pool_id, description="Who may call")
        CfnOutput(self, "Client", value=client.user_pool_client_id, description="To log in by")


class MultiModelStack(Stack):
    """One API, two models, each with the memory and the start that suits it.

    Example:
        >>> MultiModelStack(cdk.App(), "MultiModelStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        MultiModelApi(self, "Models", models=_models())


class MultiModelRestStack(Stack):
    """The same behind a REST API, which refuses what does not fit a model before it runs.

    Example:
        >>> MultiModelRestStack(cdk.App(), "MultiModelRestStack")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        demonstrate(self)
        MultiModelRestApi(self, "Models", models=_models())


def _users(stack: Stack) -> cognito.UserPool:
    users = cognito.UserPool(
        stack,
        "Users",
        self_sign_up_enabled=False,
        password_policy=cognito.PasswordPolicy(
            min_length=12,
            require_digits=True,
            require_lowercase=True,
            require_symbols=True,
            require_uppercase=True,
        ),
    )
    for finding, reason in {
        "COG2": "whoever tries a demonstration logs in without a second factor",
        "COG8": "the Plus plan is paid for each user, and a demonstration's have nothing to lose",
    }.items():
        Validations.of(users).acknowledge(
            Acknowledgment(id=f"AwsSolutions::AwsSolutions-{finding}", reason=reason)
        )
    return users


def _models() -> dict[str, ServedModel]:
    digits = InferenceModel.from_file(_MODEL)
    return {
        "digits": ServedModel(digits, packaging=Packaging.ZIP),
        "digits-restored": ServedModel(
            digits,
            packaging=Packaging.ZIP,
            memory_size=Size.mebibytes(1024),
            warm_strategy=WarmStrategy.snap_start(),
        ),
    }
