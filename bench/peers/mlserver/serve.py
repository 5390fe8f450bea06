"""MLServer with a runtime of one onnxruntime session, in its own process."""

import asyncio
import os

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Onnx(MLModel):
    async def load(self) -> bool:
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feed = {i.name: NumpyCodec.decode_input(i) for i in payload.inputs}
        outputs = self.session.run(None, feed)
        names = [output.name for output in self.session.get_outputs()]
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(n, o) for n, o in zip(names, outputs, strict=True)],
        )


async def main() -> None:
    port = int(os.environ["PORT"])
    settings = Settings(
        host="127.0.0.1", http_port=port, grpc_port=port + 1, metrics_port=port + 2,
        parallel_workers=0, debug=False,
    )  # fmt: skip
    server = MLServer(settings)
    await server.start([ModelSettings(name="digits", implementation=Onnx)])


asyncio.run(main())
