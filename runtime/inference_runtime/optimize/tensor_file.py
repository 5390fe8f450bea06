"""Lists of named tensors in one file: how the samples reach a measuring process, and its answers
come back, without numpy in that process.

The first line is JSON, ``[{name: [datatype, shape, bytes]}, …]``; the buffers follow in that order.
"""

from __future__ import annotations

import json

from inference_runtime.tensor import DATATYPES, Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def write(path: str, runs: Sequence[Mapping[str, Tensor]]) -> None:
    """Write ``runs``, each a run's tensors by name, to the file ``path``."""
    header = [
        {name: [t.datatype.name, t.shape, t.buffer.nbytes] for name, t in run.items()}
        for run in runs
    ]
    with open(path, "wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        for run in runs:
            for tensor in run.values():
                file.write(tensor.buffer)


def read(path: str) -> list[dict[str, Tensor]]:
    """What ``write`` wrote to ``path``."""
    with open(path, "rb") as file:
        header = json.loads(file.readline())
        return [
            {
                name: Tensor(DATATYPES[datatype], shape, file.read(size))
                for name, (datatype, shape, size) in run.items()
            }
            for run in header
        ]
