"""How much memory a process needs to serve a model, whatever platform it runs on."""

from __future__ import annotations

from math import ceil
from typing import Final

# Measured by bench/memory.py with onnxruntime 1.31.1 on x86-64, one thread: the process's peak less
# that of a tiny model, for models of random weights with 45 to 415 MiB. Layers of MatMul take 1.4
# to 1.7 times the file's size; layers of Conv, whose weights are packed anew too, 2.8 to 3.5 times.
# Where INFERENCE_PROFILE=memory leaves weights in the mapped file, BERT-base takes 1.2 times.
_MEMORY_PER_MODEL_BYTE: Final = 3.5
_LEAST_SEEN_PER_MODEL_BYTE: Final = 1.4
_IMPORTS_MB: Final = 64
# The imports, the platform's own runtime, and a request and its answer of 6 MB each, as JSON and as
# tensors.
_BESIDE_THE_MODEL_MB: Final = 256


def needed_memory_mb(model_bytes: int) -> int:
    """The memory in which a model of ``model_bytes`` serves well, in MB: 3.5 times the model plus
    256 MB.

    Example:
        >>> needed_memory_mb(100 * 2**20)
        606
    """
    return ceil(_BESIDE_THE_MODEL_MB + _MEMORY_PER_MODEL_BYTE * model_bytes / 2**20)


def least_memory_mb(model_bytes: int) -> int:
    """The memory, in MB, below which a model of ``model_bytes`` cannot even be loaded."""
    return _IMPORTS_MB + ceil(model_bytes / 2**20)


def least_seen_memory_mb(model_bytes: int) -> int:
    """The memory, in MB, below which no model of ``model_bytes`` was seen to be served.

    With its weights packed, as they are unless ``INFERENCE_PROFILE`` is ``memory``.
    """
    return _IMPORTS_MB + ceil(_LEAST_SEEN_PER_MODEL_BYTE * model_bytes / 2**20)
