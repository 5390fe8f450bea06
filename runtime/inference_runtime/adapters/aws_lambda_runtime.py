"""AWS Lambda's image and custom runtimes: the Runtime API loop.

``python -m inference_runtime.adapters.aws_lambda_runtime`` takes the place of ``awslambdaric`` and
its handler; the events and answers are those of ``aws_lambda``. Beyond them it

- answers on ``AWS_LAMBDA_MAX_CONCURRENCY`` threads over one model (Lambda Managed Instances);
- streams answers where ``INFERENCE_INVOKE_MODE`` is ``RESPONSE_STREAM``;
- on SIGTERM answers what has come, and ends.
"""

from __future__ import annotations

import sys

from inference_runtime.serving import start
from inference_runtime.settings import runtime_api_address


def main() -> None:
    """Load the model, and answer events until SIGTERM.

    Raises:
        InvalidSettings: there is no Runtime API. Any other error of the start is reported there,
            and ends the process with status 1.
    """
    address = runtime_api_address()
    try:
        plane = start()
    except Exception as error:
        from inference_runtime.adapters.lambda_runtime_api import RuntimeApi

        RuntimeApi(address).fail_to_start(error)
        sys.exit(1)
    from inference_runtime.adapters.lambda_host import Host

    Host(plane, address).serve()
    plane.close()


if __name__ == "__main__":
    main()
