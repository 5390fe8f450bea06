"""Triton, as nvidia-pytriton carries it, with one onnxruntime session behind its Python backend."""

import os

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

session = onnxruntime.InferenceSession(os.environ["MODEL"])


@batch
def infer(pixels):
    label, probabilities = session.run(None, {"pixels": pixels})
    return {"label": label.reshape(-1, 1), "probabilities": probabilities}


port = int(os.environ["PORT"])
config = TritonConfig(
    http_address="127.0.0.1", http_port=port, grpc_port=port + 1, metrics_port=port + 2,
    allow_metrics=False,
)  # fmt: skip
with Triton(config=config) as triton:
    triton.bind(
        model_name="digits",
        infer_func=infer,
        inputs=[Tensor(name="pixels", dtype=np.float32, shape=(64,))],
        outputs=[
            Tensor(name="label", dtype=np.int64, shape=(1,)),
            Tensor(name="probabilities", dtype=np.float32, shape=(10,)),
        ],
        config=ModelConfig(max_batch_size=64),
    )
    triton.serve()
