"""KServe's model server with one onnxruntime session."""

import os

import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Onnx(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"])
        self.ready = True

    def predict(self, payload: InferRequest, headers=None, response_headers=None):
        feed = {i.name: i.as_numpy() for i in payload.inputs}
        outputs = self.session.run(None, feed)
        answered = []
        for described, output in zip(self.session.get_outputs(), outputs, strict=True):
            datatype = "INT64" if output.dtype == "int64" else "FP32"
            answer = InferOutput(described.name, list(output.shape), datatype)
            answer.set_data_from_numpy(output, binary_data=False)
            answered.append(answer)
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=answered)


ModelServer(
    http_port=int(os.environ["PORT"]), workers=1, enable_grpc=False, access_log_format=None,
    enable_docs_url=False,
).start([Onnx("digits")])  # fmt: skip
