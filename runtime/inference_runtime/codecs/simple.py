"""The simple form: what people's own handlers already read and write.

One input: ``{"features": [...]}`` is one row and ``{"features": [[...], ...]}`` a batch, answered
with ``{"predictions": …, "model_version": …}``. Several inputs: ``{"inputs": {"name": nested}}``,
answered with ``{"outputs": {"name": nested}, "model_version": …}``.

A prediction of a model with one output is that output's row; with several, an object of them by
name. Where the model's first dimension is no batch, ``predictions`` is the outputs as they are.
Columns that have labels (a classifier's probabilities) become objects by label.

Members that the form does not know are left alone, as orchestrators pass their own along.
"""

from __future__ import annotations

from inference_runtime.codecs import nested
from inference_runtime.errors import InvalidInput, MalformedBody
from inference_runtime.tensor import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from inference_runtime.jsonio import Json
    from inference_runtime.signature import Dimension, Signature, TensorSpec

_ROW, _BATCH, _NAMED = "row", "batch", "named"


class Call:
    """A decoded request.

    Attributes:
        inputs: tensors by name.
        form: how the caller asked, and so how the answer is written.
    """

    __slots__ = ("form", "inputs")

    def __init__(self, inputs: dict[str, Tensor], form: str) -> None:
        self.inputs = inputs
        self.form = form

    @property
    def is_row(self) -> bool:
        """Whether it is one row without a batch around it, and so is its prediction."""
        return self.form is _ROW

    @property
    def batch_size(self) -> int:
        """Rows of the first input; 1 for a scalar."""
        shape = next(iter(self.inputs.values())).shape if self.inputs else ()
        return shape[0] if shape else 1


class SimpleForm:
    """Reads and writes the simple form for one model.

    Args:
        signature: the model's.
        model_version: as the answers name it.
        non_finite: how NaN and infinities are written; see ``codecs.nested``.
    """

    def __init__(self, signature: Signature, model_version: str, non_finite: str) -> None:
        self._signature = signature
        self._model_version = model_version
        self._non_finite = non_finite

    def decode(self, body: Json) -> Call:
        """Read a request.

        Raises:
            MalformedBody: it is no object, or has not exactly one of ``features`` and ``inputs``.
            InvalidInput: values that are ragged, or of a wrong type or rank.
        """
        if not isinstance(body, dict):
            raise MalformedBody(
                f"the body is {_json_type(body)}; send an object: {self._example()}"
            )
        if ("features" in body) == ("inputs" in body):
            found = "both" if "features" in body else "neither"
            raise MalformedBody(
                f"the body has {found} of 'features' and 'inputs'; send {self._example()}"
            )
        if "features" in body:
            return self._decode_features(body["features"])
        return self._decode_named(body["inputs"])

    def encode(self, call: Call, outputs: Mapping[str, Tensor]) -> dict[str, Json]:
        """Write the answer to ``call``."""
        member: dict[str, Json] = (
            {"outputs": self._values(outputs)}
            if call.form is _NAMED
            else {"predictions": self.predictions(call, outputs)}
        )
        return {**member, "model_version": self._model_version}

    def predictions(self, call: Call, outputs: Mapping[str, Tensor]) -> Json:
        """A prediction for each row of ``call``, or the only one when it is a single row; the
        outputs as they are when the model does not answer row by row.
        """
        values = self._values(outputs)
        rows = call.batch_size
        if not self._signature.has_rows or any(t.shape[0] != rows for t in outputs.values()):
            return _only(values)
        predictions = [
            _only(dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)
        ]
        return predictions[0] if call.is_row else predictions

    def _decode_features(self, features: Json) -> Call:
        required = [spec for spec in self._signature.inputs.values() if not spec.optional]
        if len(required) != 1:
            raise InvalidInput(
                f"'features' is for models with one input; this one takes {len(required)}:"
                f" send {self._example()}"
            )
        (spec,) = required
        tensor = nested.decode(features, spec.datatype, spec.name)
        if _fits(tensor.shape, spec.shape):
            return Call({spec.name: tensor}, _BATCH)
        if spec.shape and _fits((1, *tensor.shape), spec.shape):
            row = Tensor(tensor.datatype, (1, *tensor.shape), tensor.buffer)
            return Call({spec.name: row}, _ROW)
        allowed = f"{spec} or one row of it" if _has_one_row(spec) else str(spec)
        raise InvalidInput(
            f"input {spec.name!r} takes {allowed} as 'features', got shape {list(tensor.shape)}"
        )

    def _decode_named(self, inputs: Json) -> Call:
        if not isinstance(inputs, dict):
            raise MalformedBody(
                f"'inputs' is {_json_type(inputs)}; send an object: {self._example()}"
            )
        known = self._signature.inputs
        for name in inputs:
            if name not in known:
                names = ", ".join(map(repr, known))
                raise InvalidInput(f"unknown input {name!r}; the inputs are {names}")
        tensors = {
            name: nested.decode(value, known[name].datatype, name) for name, value in inputs.items()
        }
        return Call(tensors, _NAMED)

    def _values(self, outputs: Mapping[str, Tensor]) -> dict[str, Json]:
        return {name: self._readable(tensor) for name, tensor in outputs.items()}

    def _readable(self, tensor: Tensor) -> Json:
        values = nested.encode(tensor, self._non_finite)
        if tensor.labels is None:
            return values
        return _labelled(values, [str(label) for label in tensor.labels], len(tensor.shape))

    def _example(self) -> str:
        required = [spec for spec in self._signature.inputs.values() if not spec.optional]
        if len(required) == 1:
            return f'{{"features": {required[0]}}}'
        inputs = ", ".join(f'"{spec.name}": {spec}' for spec in required)
        return f'{{"inputs": {{{inputs}}}}}'


def _has_one_row(spec: TensorSpec) -> bool:
    return bool(spec.shape) and (spec.shape[0] == 1 or not isinstance(spec.shape[0], int))


def _fits(sizes: tuple[int, ...], shape: tuple[Dimension, ...]) -> bool:
    return len(sizes) == len(shape) and all(
        want == size or not isinstance(want, int) for want, size in zip(shape, sizes, strict=True)
    )


def _only(values: dict[str, Json]) -> Json:
    return next(iter(values.values())) if len(values) == 1 else values


def _labelled(values: Any, labels: list[str], depth: int) -> Json:
    if depth == 1:
        return dict(zip(labels, values, strict=True))
    return [_labelled(row, labels, depth - 1) for row in values]


def _json_type(value: Json) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names[type(value)]
