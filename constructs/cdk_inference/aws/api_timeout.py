"""Whether an API waits for as long as its function may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aws_cdk import aws_lambda as lambda_

from cdk_inference.aws.warnings import warn

if TYPE_CHECKING:
    from aws_cdk import Duration

    from constructs import Construct


def warn_of_short_timeout(api: Construct, handler: lambda_.IFunction, api_seconds: float) -> None:
    """Warn if ``handler`` may take longer than ``api``, which then answers 503 or 504 for it.

    A function that was only looked up does not tell its timeout, and is not checked.

    Args:
        api: what to warn of.
        handler: the function, or a version or alias of it.
        api_seconds: how long the API waits.
    """
    timeout = _timeout(handler)
    if timeout is None or timeout.is_unresolved():
        return
    seconds = timeout.to_milliseconds() / 1000
    if seconds > api_seconds:
        warn(
            api,
            "apiTimeout",
            f"the function's timeout is {seconds:g} seconds",
            allowed=f"the API waits {api_seconds:g}, and the rest is paid for and not seen",
            remedy=f"lower the timeout to {api_seconds:g} seconds, or take longer requests in"
            " through a queue or a function URL",
        )


def _timeout(handler: lambda_.IFunction) -> Duration | None:
    if isinstance(handler, lambda_.Alias | lambda_.Version):
        handler = handler.lambda_
    return cast("Duration | None", getattr(handler, "timeout", None))
