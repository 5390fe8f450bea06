"""AWS Lambda's image and custom runtimes: the Runtime API loop.

``main`` takes the place of ``awslambdaric`` and its handler; the events and answers are those of
``aws_lambda``. Images call it by ``python -c``, because ``python -m``, which works too, imports a
tenth of what comes before the first answer just to find this module. Beyond the handler it

- answers on ``AWS_LAMBDA_MAX_CONCURRENCY`` threads over one model (Lambda Managed Instances);
- streams answers where ``INFERENCE_INVOKE_MODE`` is ``RESPONSE_STREAM``;
- on SIGTERM answers what has come, and ends.
"""

from __future__ import annotations

import sys

from inference_runtime.serving import start_host
from inference_runtime.settings import runtime_api_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.adapters.lambda_host import Host
    from inference_runtime.dataplane import DataPlane


def main() -> None:
    """Load the model, and answer events until SIGTERM.

    Raises:
        InvalidSettings: there is no Runtime API. Any other error of the start is reported there,
            and ends the process with status 1.
    """
    address = runtime_api_address()
    try:
        host = start_host(lambda plane: _host(plane, address))
    except Exception as error:
        from inference_runtime.adapters.lambda_runtime_api import RuntimeApi

        RuntimeApi(address).fail_to_start(error)
        sys.exit(1)
    host.serve()


def _host(plane: DataPlane, address: str) -> Host:
    from inference_runtime.adapters.lambda_host import Host  # while the library starts

    return Host(plane, address)


if __name__ == "__main__":
    main()
