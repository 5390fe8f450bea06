"""Tensors as bytes, without numpy: a datatype, a shape and a buffer.

Datatype names are those of the Open Inference Protocol. Buffers are C-contiguous and
little-endian, which is also the protocol's binary form. A ``BYTES`` tensor holds its elements one
after the other, each as four bytes of length and then the bytes themselves.
"""

from __future__ import annotations

from math import prod
from struct import Struct, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from _typeshed import ReadableBuffer

    Label = str | int


class Datatype:
    """One element type of the Open Inference Protocol.

    Attributes:
        name: the protocol's name, for example ``FP32``.
        kind: ``bool``, ``int``, ``float`` or ``bytes``.
        itemsize: bytes per element; 0 for ``BYTES``, whose elements vary.
        typecode: the ``array`` module's code for it, or ``""`` where that has none.
    """

    __slots__ = ("itemsize", "kind", "name", "typecode")

    def __init__(self, name: str, kind: str, itemsize: int, typecode: str = "") -> None:
        self.name = name
        self.kind = kind
        self.itemsize = itemsize
        self.typecode = typecode

    def __repr__(self) -> str:
        return self.name


BOOL: Final = Datatype("BOOL", "bool", 1)
UINT8: Final = Datatype("UINT8", "int", 1, "B")
UINT16: Final = Datatype("UINT16", "int", 2, "H")
UINT32: Final = Datatype("UINT32", "int", 4, "I")
UINT64: Final = Datatype("UINT64", "int", 8, "Q")
INT8: Final = Datatype("INT8", "int", 1, "b")
INT16: Final = Datatype("INT16", "int", 2, "h")
INT32: Final = Datatype("INT32", "int", 4, "i")
INT64: Final = Datatype("INT64", "int", 8, "q")
FP16: Final = Datatype("FP16", "float", 2)
BF16: Final = Datatype("BF16", "float", 2)
FP32: Final = Datatype("FP32", "float", 4, "f")
FP64: Final = Datatype("FP64", "float", 8, "d")
BYTES: Final = Datatype("BYTES", "bytes", 0)

DATATYPES: Final = {
    datatype.name: datatype
    for datatype in (
        BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64,
        BYTES,
    )
}  # fmt: skip

_LENGTH = Struct("<I")


class Tensor:
    """A value of a model's input or output.

    Attributes:
        datatype: one of ``DATATYPES``.
        shape: its dimensions; ``()`` for a scalar.
        buffer: the elements, as the module's docstring says.
        labels: names of the last dimension's columns, where the model gives them: a classifier's
            classes, for example.

    Raises:
        ValueError: the buffer's length is not what datatype and shape ask for.

    Example:
        >>> from array import array
        >>> Tensor(FP32, [2, 1], array("f", [0.5, 1.5]))
        Tensor(FP32[2, 1])
    """

    __slots__ = ("buffer", "datatype", "labels", "shape")

    def __init__(
        self,
        datatype: Datatype,
        shape: Sequence[int],
        buffer: ReadableBuffer,
        labels: Sequence[Label] | None = None,
    ) -> None:
        self.datatype = datatype
        self.shape = tuple(shape)
        view = memoryview(buffer)
        if type(buffer) is not bytes:
            view = view.cast("B") if view.nbytes else memoryview(b"")
        self.buffer = view
        self.labels = labels
        expected = prod(self.shape) * datatype.itemsize
        if view.nbytes != expected and datatype is not BYTES:
            raise ValueError(
                f"{datatype}{list(self.shape)} takes {expected} bytes, not {view.nbytes}"
            )

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    def __repr__(self) -> str:
        return f"Tensor({self.datatype}{list(self.shape)})"


def pack_elements(elements: Iterable[bytes]) -> bytes:
    """The buffer of a ``BYTES`` tensor with these elements, in C order."""
    pieces = []
    for element in elements:
        pieces.append(_LENGTH.pack(len(element)))
        pieces.append(element)
    return b"".join(pieces)


def unpack_elements(buffer: ReadableBuffer) -> list[bytes]:
    """The elements of a ``BYTES`` tensor's buffer, in C order.

    Raises:
        ValueError: the buffer ends inside an element.
    """
    data = bytes(buffer)
    elements = []
    position = 0
    while position < len(data):
        try:
            (length,) = _LENGTH.unpack_from(data, position)
        except error:
            raise ValueError("a BYTES buffer ends inside an element's length") from None
        position += _LENGTH.size
        if position + length > len(data):
            raise ValueError("a BYTES buffer ends inside an element")
        elements.append(data[position : position + length])
        position += length
    return elements
