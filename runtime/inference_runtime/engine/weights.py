"""Where the weights of a graph are in its file of external data, as a manifest tells it.

With that, an engine maps the file once and gives the session its weights. Left to the paths in the
graph, onnxruntime looks up, opens and maps the same file for each of them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any


class Weight:
    """One tensor of a graph, which is its constant.

    Attributes:
        name: in the graph.
        element_type: ``TensorProto.DataType`` of ``onnx.proto``, which the C library's
            ``ONNXTensorElementDataType`` is, too.
        shape: its sizes.
        offset: in the file, in bytes.
        size: in bytes.
        dense: whether every run reads all of it; of an embedding's table, it reads a few rows.
    """

    __slots__ = ("dense", "element_type", "name", "offset", "shape", "size")

    def __init__(
        self,
        name: str,
        element_type: int,
        shape: list[int],
        offset: int,
        size: int,
        *,
        dense: bool,
    ) -> None:
        self.name = name
        self.element_type = element_type
        self.shape = shape
        self.offset = offset
        self.size = size
        self.dense = dense

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{self.element_type} {shape} {self.offset} {self.size}{' dense' * self.dense}"

    @classmethod
    def parse(cls, name: str, text: str) -> Weight:
        """The weight that ``str`` has written as ``text``.

        Raises:
            ValueError: nothing was.

        Example:
            >>> Weight.parse("bias", "1 3x4 4096 48 dense").shape
            [3, 4]
        """
        element_type, shape, offset, size, *rest = text.split(" ")
        sizes = list(map(int, shape.split("x"))) if shape else []
        return cls(name, int(element_type), sizes, int(offset), int(size), dense=rest == ["dense"])


class Weights:
    """Those of one file.

    Attributes:
        file: their file, beside the graph's.
        tensors: in the order of the file.
    """

    __slots__ = ("file", "tensors")

    def __init__(self, file: str, tensors: Iterable[Weight]) -> None:
        self.file = file
        self.tensors = sorted(tensors, key=lambda weight: weight.offset)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Weights:
        """The weights that ``json`` has told of.

        Raises:
            KeyError, TypeError, ValueError: nothing has.
        """
        tensors = document["tensors"]
        return cls(document["file"], [Weight.parse(name, tensors[name]) for name in tensors])

    @property
    def json(self) -> dict[str, Any]:
        """As a manifest has them."""
        tensors = {weight.name: str(weight) for weight in self.tensors}
        return {"file": self.file, "tensors": tensors}

    def dense_parts(self) -> Iterator[tuple[int, int]]:
        """Start and size of each part of the file of which every run reads all."""
        start = end = 0
        for weight in self.tensors:
            if not weight.dense:
                continue
            if weight.offset > end:
                if start < end:
                    yield start, end - start
                start = weight.offset
            end = max(end, weight.offset + weight.size)
        if start < end:
            yield start, end - start
