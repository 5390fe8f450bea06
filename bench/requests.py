"""What the benchmarks ask of the models in ``bench.models``."""

from __future__ import annotations

import json
import random
import re
from typing import Any

SEED = 20261122
TOKENS = 16
ANSWER = re.compile(rb'"(predictions|outputs)":')
FEATURES = {
    "mlp": (256,),
    "mlp52": (1024,),
    "resnet18": (3, 224, 224),
    "wide_resnet": (3, 224, 224),
}


def request_body(model: str) -> bytes:
    """A request that ``model`` answers, in the simple form."""
    draw = random.Random(SEED)

    def numbers(*shape: int) -> object:
        if not shape:
            return round(draw.uniform(-2, 2), 4)
        return [numbers(*shape[1:]) for _ in range(shape[0])]

    if model in FEATURES:
        return json.dumps({"features": numbers(*FEATURES[model])}).encode()
    inputs = {
        "input_ids": [[draw.randrange(1000, 30000) for _ in range(TOKENS)]],
        "attention_mask": [[1] * TOKENS],
        "token_type_ids": [[0] * TOKENS],
    }
    return json.dumps({"inputs": inputs}).encode()


def lambda_event(body: bytes) -> Any:
    """A function URL's event with that body."""
    http = {"method": "POST", "path": "/predict"}
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": "/predict", "rawQueryString": "",
        "headers": {"content-type": "application/json"}, "isBase64Encoded": False,
        "requestContext": {"http": http, "stage": "$default"}, "body": body.decode(),
    }  # fmt: skip
