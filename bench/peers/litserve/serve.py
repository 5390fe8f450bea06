"""LitServe with one worker."""

import os

import litserve
import numpy as np
import onnxruntime


class Onnx(litserve.LitAPI):
    def setup(self, device):
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"])
        self.name = self.session.get_inputs()[0].name

    def decode_request(self, request):
        return np.array(request["features"], np.float32).reshape(1, -1)

    def predict(self, features):
        return self.session.run(None, {self.name: features})

    def encode_response(self, outputs):
        return {"predictions": [output.tolist() for output in outputs]}


if __name__ == "__main__":
    server = litserve.LitServer(Onnx(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(os.environ["PORT"]), num_api_servers=1, log_level="error",
        generate_client_file=False,
    )  # fmt: skip
