"""FastAPI with a pydantic model, on uvicorn."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

session = onnxruntime.InferenceSession(os.environ["MODEL"])
first = session.get_inputs()[0]
app = FastAPI()


class Body(BaseModel):
    features: list | None = None
    inputs: dict[str, list[list[int]]] | None = None


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/predict")
async def predict(body: Body):
    if body.inputs is not None:
        feed = {name: np.array(value, np.int64) for name, value in body.inputs.items()}
    else:
        feed = {first.name: np.array(body.features, np.float32).reshape(1, *first.shape[1:])}
    outputs = session.run(None, feed)
    return {"predictions": [output.tolist() for output in outputs]}
