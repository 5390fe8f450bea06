"""BentoML's service with one worker."""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Onnx:
    def __init__(self) -> None:
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"])
        self.name = self.session.get_inputs()[0].name

    @bentoml.api
    def predict(self, features: list[float]) -> dict:
        array = np.array(features, np.float32).reshape(1, -1)
        outputs = self.session.run(None, {self.name: array})
        return {"predictions": [output.tolist() for output in outputs]}
