"""What a model declares of its inputs and outputs, and whether given tensors fit."""

from __future__ import annotations

from inference_runtime.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from inference_runtime.tensor import Datatype, Tensor

    Dimension = int | str | None

_MOST_REMEMBERED: Final = 256


class TensorSpec:
    """One declared input or output.

    Attributes:
        name: its name in the graph.
        datatype: its element type.
        shape: its dimensions: a size, the name of a symbolic dimension, or ``None`` for any size.
        optional: whether the model has a default for it.
    """

    __slots__ = ("datatype", "name", "optional", "shape")

    def __init__(
        self, name: str, datatype: Datatype, shape: Iterable[Dimension], *, optional: bool = False
    ) -> None:
        self.name = name
        self.datatype = datatype
        self.shape = tuple(shape)
        self.optional = optional

    def sizes(self, rows: int = 1) -> list[int]:
        """The dimensions of a small tensor that fits.

        Args:
            rows: of the first dimension, where it has any size; all other such have size 1.

        Example:
            >>> from inference_runtime.tensor import FP32
            >>> TensorSpec("pixels", FP32, ["batch", None, 64]).sizes(rows=3)
            [3, 1, 64]
        """
        return [
            d if isinstance(d, int) else 1 if index else rows for index, d in enumerate(self.shape)
        ]

    def __str__(self) -> str:
        dimensions = ", ".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.datatype}[{dimensions}]"


class Signature:
    """A model's inputs and outputs by name, in the order of its graph.

    Attributes:
        inputs: specifications by name.
        outputs: specifications by name.
        has_rows: whether the first dimension of each is the batch: of any size in all of them, or
            of one and the same size.

    Example:
        >>> from inference_runtime.tensor import FP32, INT64
        >>> signature = Signature(
        ...     [TensorSpec("pixels", FP32, ["batch", 64])], [TensorSpec("label", INT64, ["batch"])]
        ... )
        >>> str(signature.inputs["pixels"])
        'FP32[batch, 64]'
    """

    __slots__ = ("_fitting", "has_rows", "inputs", "outputs")

    def __init__(self, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> None:
        self.inputs = {spec.name: spec for spec in inputs}
        self.outputs = {spec.name: spec for spec in outputs}
        required = [spec for spec in self.inputs.values() if not spec.optional]
        self.has_rows = _have_rows([*required, *self.outputs.values()])
        # Inputs that fitted, by what was checked of them: most requests are like others before.
        self._fitting: set[tuple[tuple[str, Datatype, tuple[int, ...]], ...]] = set()

    def check_inputs(self, tensors: Mapping[str, Tensor]) -> None:
        """Check that ``tensors`` are what the model takes.

        Raises:
            InvalidInput: an unknown or missing name, a datatype, rank or size that is not the
                declared one, or one symbolic dimension with two sizes.
        """
        form = tuple([(name, t.datatype, t.shape) for name, t in tensors.items()])
        if form in self._fitting:
            return
        if tensors.keys() != self.inputs.keys():
            self._check_names(tensors)
        sizes: dict[str, tuple[int, str]] = {}
        for name, tensor in tensors.items():
            spec = self.inputs[name]
            _check_tensor(spec, tensor)
            _check_symbols(spec, tensor, sizes)
        if len(self._fitting) < _MOST_REMEMBERED:
            self._fitting.add(form)

    def check_outputs(self, names: Iterable[str]) -> None:
        """Check that the model has outputs of these names.

        Raises:
            InvalidInput: it does not.
        """
        for name in names:
            if name not in self.outputs:
                raise InvalidInput(
                    f"unknown output {name!r}; the outputs are {_listed(self.outputs)}"
                )

    def _check_names(self, tensors: Mapping[str, Tensor]) -> None:
        for name in tensors:
            if name not in self.inputs:
                raise InvalidInput(f"unknown input {name!r}; the inputs are {_listed(self.inputs)}")
        missing = [s.name for s in self.inputs.values() if not s.optional and s.name not in tensors]
        if missing:
            raise InvalidInput(
                f"missing input {_listed(missing)}; the inputs are {_listed(self.inputs)}"
            )


def _have_rows(specs: list[TensorSpec]) -> bool:
    if not specs or not all(spec.shape for spec in specs):
        return False
    sizes = {spec.shape[0] if isinstance(spec.shape[0], int) else None for spec in specs}
    return len(sizes) == 1


def _check_tensor(spec: TensorSpec, tensor: Tensor) -> None:
    if tensor.datatype is not spec.datatype:
        raise InvalidInput(f"input {spec.name!r} takes {spec}, got datatype {tensor.datatype}")
    if not _fits(spec.shape, tensor.shape):
        raise InvalidInput(f"input {spec.name!r} takes {spec}, got shape {list(tensor.shape)}")


def _fits(declared: tuple[Dimension, ...], shape: tuple[int, ...]) -> bool:
    if len(declared) != len(shape):
        return False
    for wanted, size in zip(declared, shape, strict=True):  # all(…) takes thrice as long
        if type(wanted) is int and wanted != size:
            return False
    return True


def _check_symbols(spec: TensorSpec, tensor: Tensor, sizes: dict[str, tuple[int, str]]) -> None:
    for symbol, size in zip(spec.shape, tensor.shape, strict=True):
        if type(symbol) is str:
            known, first = sizes.setdefault(symbol, (size, spec.name))
            if known != size:
                raise InvalidInput(
                    f"dimension {symbol!r} is {known} in input {first!r} and {size} in input"
                    f" {spec.name!r}; both must be the same"
                )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
