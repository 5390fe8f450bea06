"""AWS Lambda's managed runtime: the handler.

Set ``inference_runtime.adapters.aws_lambda.handler`` as the function's handler. The model is
loaded when the module is imported, in Lambda's INIT phase; a bad setting or model fails there.

A direct invocation takes and gives the simple form itself, or an inference request and response of
the Open Inference Protocol. The caller's mistakes come back as ``{"error": …}``; what is ours is
raised, so that Lambda counts and retries it. HTTP events are those of ``lambda_http``. The event
``{"warmup": true, "hold_ms": 500}`` is answered without a run, here half a second later: so that as
many such calls at the same time reach as many environments.
"""

from __future__ import annotations

import time

from inference_runtime.adapters.lambda_function import LambdaFunction
from inference_runtime.serving import start
from inference_runtime.settings import SNAP_START

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Context(Protocol):
        """What is used of Lambda's context object."""

        aws_request_id: str

        def get_remaining_time_in_millis(self) -> int:
            """Until the function's time is over."""


PLANE = start()
if PLANE.settings.lambda_initialization == SNAP_START:
    from inference_runtime.adapters import snapstart

    snapstart.register()
FUNCTION = LambdaFunction(PLANE)


def handler(event: Any, context: Context) -> Any:
    """Answer one event; see ``LambdaFunction.answer``.

    Args:
        event: of any form that the module's docstring names.
        context: Lambda's.

    Raises:
        InferenceError: a direct invocation failed, and not by the caller's mistake.

    Example:
        >>> handler({"features": [1, 2, 3]}, context)
        {'predictions': 6.0, 'model_version': '1'}
    """
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    return FUNCTION.answer(event, context.aws_request_id, deadline)
