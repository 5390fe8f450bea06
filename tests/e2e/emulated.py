"""AWS's services as the emulator has them."""

from __future__ import annotations

from typing import Any

import boto3
from cdk_inference.local import Emulator


def client(emulator: Emulator, service: str) -> Any:
    """What asks ``service`` of the emulator, in the account that apps are deployed to."""
    return boto3.client(
        service,
        endpoint_url=emulator.url,
        region_name="us-east-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="test",
    )
