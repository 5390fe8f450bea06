"""Which onnxruntime-gpu goes with which CUDA, and the base images that have both CUDA and cuDNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class CudaImage:
    """What an image for a major version of CUDA is made of.

    Attributes:
        base_image: has that CUDA and cuDNN 9, as onnxruntime-gpu asks for.
        onnxruntime_gpu: the versions that were built for it, as the requirements pin one of.
        requirements: the exported ones, for :func:`cdk_inference.artifact.image_context`.
    """

    base_image: str
    onnxruntime_gpu: str
    requirements: str


# By the CUDA that a driver has; any minor version of CUDA runs on a driver of the same major one.
# https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#requirements
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
# The wheels say the same: the extras `cuda` and `cudnn` of onnxruntime-gpu 1.26.0 are NVIDIA's
# packages for CUDA 12, those of 1.31.1 for CUDA 13, with cuDNN 9 each. So do their libraries: the
# CUDA provider loads libcublas.so.12 or .13; the TensorRT provider libnvinfer.so.10 in both.
CUDA_IMAGES: Final = {
    12: CudaImage(
        "nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04", "==1.26.*", "cloud-run-cuda12-image"
    ),
    13: CudaImage(
        "nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04", ">=1.27", "cloud-run-cuda13-image"
    ),
}
