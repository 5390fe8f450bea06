"""The handler that tutorials show: the onnxruntime package with its defaults, numpy and json."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

session = ort.InferenceSession(sys.argv[1])


def handler(event, _context):
    """Answer one Lambda event."""
    body = json.loads(event["body"])
    if "features" in body:
        spec = session.get_inputs()[0]
        features = np.array(body["features"], dtype=np.float32)
        feed = {spec.name: features.reshape(1, *spec.shape[1:])}
    else:
        feed = {name: np.array(value, dtype=np.int64) for name, value in body["inputs"].items()}
    prediction = session.run(None, feed)[0]
    return {"statusCode": 200, "body": json.dumps({"predictions": prediction.tolist()})}


if __name__ == "__main__":
    answer = handler({"body": Path(sys.argv[2]).read_text()}, None)
    os.write(int(sys.argv[3]), answer["body"].encode() + b"\n")
    sys.stdin.read()
    os._exit(0)
