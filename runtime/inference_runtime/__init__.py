"""Serves an ONNX model on AWS Lambda, Cloud Run and Azure Functions.

One data plane answers alike on every platform; a platform is an adapter around it. Start from
:func:`inference_runtime.serving.start`, or set ``inference_runtime.adapters.aws_lambda.handler``
as a function's handler.
"""

from inference_runtime import bundle

__version__ = "0.1.0"

bundle.use(__path__[0])
