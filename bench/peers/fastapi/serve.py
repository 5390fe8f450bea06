"""FastAPI with a pydantic model, on uvicorn."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

session = onnxruntime.InferenceSession(os.environ["MODEL"])
name = session.get_inputs()[0].name
app = FastAPI()


class Features(BaseModel):
    features: list[float]


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/predict")
async def predict(body: Features):
    features = np.array(body.features, np.float32).reshape(1, -1)
    outputs = session.run(None, {name: features})
    return {"predictions": [output.tolist() for output in outputs]}
