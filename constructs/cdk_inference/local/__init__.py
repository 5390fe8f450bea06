"""Deploys any CDK app to an AWS emulator on this machine, without an account or Docker.

The command line is `cdk-inference local --help`. Needs the extra ``local``, on Linux or macOS.

Example:
    >>> with running(WORK_FOLDER) as emulator:
    ...     deploy(emulator, console=Console())
    ...     invoke(emulator, "ApiUrl/predict", b'{"features": [1, 2, 3]}').json()
"""

from cdk_inference.local.cloud_run import RunningService, running_service
from cdk_inference.local.deployment import Deployment, deploy, outputs
from cdk_inference.local.emulator import WORK_FOLDER, Emulator, find, recorded, running, start
from cdk_inference.local.errors import LocalError
from cdk_inference.local.invocation import Reply, invoke, invoke_function, local_url, post
from cdk_inference.local.supported import Omission

__all__ = [
    "WORK_FOLDER",
    "Deployment",
    "Emulator",
    "LocalError",
    "Omission",
    "Reply",
    "RunningService",
    "deploy",
    "find",
    "invoke",
    "invoke_function",
    "local_url",
    "outputs",
    "post",
    "recorded",
    "running",
    "running_service",
    "start",
]
