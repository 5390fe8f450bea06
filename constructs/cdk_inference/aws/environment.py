"""The environment variables of a Lambda function that serves a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdk_inference.aws.tokens import are_known
from cdk_inference.contract import MODEL_NAME, MODEL_VERSION, RESERVED_ENVIRONMENT
from cdk_inference.limits import LAMBDA_ENVIRONMENT_BYTES, LAMBDA_RESERVED_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from cdk_inference.aws.model_source import AnyModel, ModelSource
    from cdk_inference.validation import Problems


def function_environment(
    model: AnyModel,
    source: ModelSource,
    telemetry: Mapping[str, str],
    users: Mapping[str, str],
    problems: Problems,
) -> dict[str, str]:
    """The user's variables and those of the contract.

    Records a problem for each variable that users may not set, and one if all together are larger
    than Lambda allows.
    """
    own = {
        **source.environment(model),
        **telemetry,
        MODEL_NAME: model.name,
        MODEL_VERSION: model.version,
    }
    for name in users:
        _check_name(name, RESERVED_ENVIRONMENT | own.keys(), problems)
    environment = {**users, **own}
    check_environment_size(environment, problems)
    return environment


def _check_name(name: str, reserved: Set[str], problems: Problems) -> None:
    if name in reserved:
        problems.add(
            f"environment sets {name}",
            allowed="the construct sets that itself",
            remedy="leave it out: the model's name and version are arguments of"
            " InferenceModel.from_file, the path is one of add_http_api",
        )
    elif name in LAMBDA_RESERVED_ENVIRONMENT:
        problems.add(
            f"environment sets {name}",
            allowed="Lambda reserves that for itself",
            remedy="choose another name",
        )


def check_environment_size(environment: Mapping[str, Any], problems: Problems) -> None:
    """Record a problem if the variables are larger than Lambda allows.

    What only a deployment knows counts nothing.
    """
    texts = (text for text in (*environment, *environment.values()) if isinstance(text, str))
    known = (text for text in texts if are_known(text))
    size = sum(len(text.encode()) for text in known)
    if size > LAMBDA_ENVIRONMENT_BYTES:
        problems.add(
            f"environment has {size} bytes, names and values together",
            allowed=f"Lambda allows {LAMBDA_ENVIRONMENT_BYTES}",
            remedy="put long values into a parameter or secret and read them from there",
        )
