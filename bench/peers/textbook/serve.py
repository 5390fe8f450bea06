"""The textbook: Flask and a session with default options, under gunicorn."""

import os

import numpy as np
import onnxruntime
from flask import Flask, jsonify, request

session = onnxruntime.InferenceSession(os.environ["MODEL"])
name = session.get_inputs()[0].name
app = Flask(__name__)


@app.get("/health")
def health():
    return jsonify(status="ok")


@app.post("/predict")
def predict():
    features = np.array(request.get_json()["features"], np.float32).reshape(1, -1)
    outputs = session.run(None, {name: features})
    return jsonify(predictions=[output.tolist() for output in outputs])
