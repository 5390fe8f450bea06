"""How much memory a process needs to serve a model, whatever platform it runs on."""

from __future__ import annotations

from math import ceil
from typing import Final

# Measured with onnxruntime 1.31.1 on x86-64, one thread: VmHWM after session creation and a run,
# less that of the bare imports (59 MiB), for models of random weights with 45 to 576 MiB.
# Layers of MatMul take 1.3 to 2.0 times the file's size; layers of Conv, whose weights are also
# packed anew, 3.1 to 3.4 times.
_MEMORY_PER_MODEL_BYTE: Final = 3.5
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
