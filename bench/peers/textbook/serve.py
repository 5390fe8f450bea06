"""The textbook: Flask and a session with default options, under gunicorn."""

import os

import numpy as np
import onnxruntime
from flask import Flask, jsonify, request

session = onnxruntime.InferenceSession(os.environ["MODEL"])
first = session.get_inputs()[0]
app = Flask(__name__)


@app.get("/health")
def health():
    return jsonify(status="ok")


@app.post("/predict")
def predict():
    body = request.get_json()
    if "inputs" in body:
        feed = {name: np.array(value, np.int64) for name, value in body["inputs"].items()}
    else:
        feed = {first.name: np.array(body["features"], np.float32).reshape(1, *first.shape[1:])}
    outputs = session.run(None, feed)
    return jsonify(predictions=[output.tolist() for output in outputs])
