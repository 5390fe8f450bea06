"""The environment variables of a service or function that serves a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdk_inference.contract import (
    MAX_QUEUE,
    MAX_REQUEST_BYTES,
    MODEL_NAME,
    MODEL_VERSION,
    PROVIDERS,
    REQUIRE_GPU,
    TIMEOUT_SECONDS,
)
from cdk_inference.limits import (
    CLOUD_RUN_REQUEST_BYTES,
    CLOUD_RUN_RESERVED_ENVIRONMENT,
    CLOUD_RUN_RESERVED_PREFIX,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cdk_inference.gcp.model_source import ModelSource
    from cdk_inference.gcp.scaling import Scaling
    from cdk_inference.model import InferenceModel
    from cdk_inference.validation import Problems


def model_environment(model: InferenceModel, source: ModelSource) -> dict[str, str]:
    """What only the construct may set: the model, and where it is."""
    return {
        MODEL_NAME: model.name,
        MODEL_VERSION: model.version,
        **source.environment(model),
    }


def gpu_environment(*, require: bool, tensorrt: bool = False) -> dict[str, str]:
    """What only the construct may set of an instance with a GPU.

    Args:
        require: whether it may not serve on its CPU.
        tensorrt: whether TensorRT comes before CUDA.
    """
    return {
        PROVIDERS: "tensorrt,cuda,cpu" if tensorrt else "cuda,cpu",
        REQUIRE_GPU: "on" if require else "off",
    }


def default_settings(scaling: Scaling) -> dict[str, str]:
    """What the runtime should know of its platform, and users may know better."""
    return {
        MAX_QUEUE: str(scaling.concurrency),
        MAX_REQUEST_BYTES: str(CLOUD_RUN_REQUEST_BYTES),
        TIMEOUT_SECONDS: str(scaling.timeout_seconds),
    }


def check_names(
    environment: Iterable[str],
    secrets: Iterable[str],
    own: Collection[str],
    problems: Problems,
) -> None:
    """Record a problem for each variable that a user may not set.

    Args:
        environment: the names of variables that were given.
        secrets: those whose values are secrets.
        own: those that the construct sets, and nobody else may.
        problems: where to.
    """
    names = [*environment, *secrets]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            problems.add(
                f"environment and secrets both set {name}",
                allowed="a variable has one value",
                remedy="leave one of them out",
            )
        if not name or "=" in name:
            problems.add(
                f"environment sets {name!r}",
                allowed="a variable has a name, without '='",
                remedy="change it",
            )
        if name in own:
            problems.add(
                f"environment sets {name}",
                allowed="the construct sets that itself",
                remedy="leave it out: it follows from the construct's other arguments",
            )
        elif name in CLOUD_RUN_RESERVED_ENVIRONMENT or name.startswith(CLOUD_RUN_RESERVED_PREFIX):
            problems.add(
                f"environment sets {name}",
                allowed="Cloud Run reserves that for itself",
                remedy="choose another name",
            )
