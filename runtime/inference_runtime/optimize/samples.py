"""Samples of real input, from a file that the user gives.

A ``.npz`` holds one array for each input, by name. A ``.json`` holds one of
- a request of the simple form, ``{"features": …}`` or ``{"inputs": {…}}``;
- a list of such requests, which may differ in length, as texts do;
- a list of objects with one row for each input by name; members that are no input are left alone.
"""

from __future__ import annotations

import itertools
import json
import os
import zipfile

import numpy as np

from inference_runtime.codecs.simple import SimpleForm
from inference_runtime.errors import InferenceError
from inference_runtime.optimize.arrays import NUMPY_TYPES, to_array, to_tensor
from inference_runtime.optimize.errors import NotOptimized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

    from inference_runtime.optimize.arrays import Array
    from inference_runtime.signature import Signature, TensorSpec
    from inference_runtime.tensor import Tensor

    Request = dict[str, Array]

# Made-up inputs, where the user gave no samples: a dimension of any size is this.
MADE_UP_SIZE: Final = 8
_CHUNK_ROWS: Final = 32
_SEED: Final = 20261122


class Samples:
    """Requests to run a model with.

    Args:
        requests: arrays by input's name, each fit to run; where the model takes batches, one row.
        signature: the model's.
        given: whether the user gave them, or they are made up and say nothing of accuracy.

    Attributes:
        requests: as given.
        given: as given.
        batchable: whether the model takes any number of rows, along the first axis of every input.
    """

    def __init__(self, requests: list[Request], signature: Signature, *, given: bool) -> None:
        self.requests = requests
        self.given = given
        self.batchable = takes_batches(signature)
        self._signature = signature

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def largest(self) -> int:
        """The elements of the largest request."""
        return max(map(_elements, self.requests))

    def batch(self, rows: int) -> dict[str, Tensor]:
        """One run's input of ``rows`` rows: samples from the first on, again and again.

        Samples that differ in length do not fit one batch; the longest one is repeated then, so
        that times are of the worst case.
        """
        if not self.batchable:
            return self._tensors(self.requests[0])
        alike = len({_shapes(request) for request in self.requests}) == 1
        source = self.requests if alike else [max(self.requests, key=_elements)]
        return self._tensors(_stack(list(itertools.islice(itertools.cycle(source), rows))))

    def runs(self) -> list[dict[str, Tensor]]:
        """Every sample once, in as few runs as their shapes and a moderate batch allow."""
        return [self._tensors(request) for request in self.chunks()]

    def chunks(self) -> Iterator[Request]:
        """Every sample once, in arrays of up to 32 rows of one shape."""
        if not self.batchable:
            yield from self.requests
            return
        for _, same in itertools.groupby(self.requests, key=_shapes):
            alike = list(same)
            for start in range(0, len(alike), _CHUNK_ROWS):
                yield _stack(alike[start : start + _CHUNK_ROWS])

    def _tensors(self, request: Request) -> dict[str, Tensor]:
        inputs = self._signature.inputs
        return {name: to_tensor(array, inputs[name].datatype) for name, array in request.items()}


def read(path: str, signature: Signature) -> Samples:
    """The samples in the file ``path`` for a model of this signature.

    Raises:
        NotOptimized: there is no such file, it is of another form, or a sample does not fit the
            model.
    """
    if not os.path.isfile(path):
        raise NotOptimized(f"--samples is {path!r}, but there is no such file")
    try:
        if path.endswith(".npz"):
            requests = _from_npz(path, signature)
        elif path.endswith(".json"):
            requests = _from_json(path, signature)
        else:
            raise NotOptimized("samples are read from a .npz or a .json file")
        if not requests:
            raise NotOptimized("there is no sample in it")
        samples = Samples(requests, signature, given=True)
        for run in samples.runs():
            signature.check_inputs(run)
    except (InferenceError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise NotOptimized(f"the samples in {path} cannot be used: {error}") from error
    return samples


def made_up(signature: Signature) -> Samples:
    """One request of random numbers, ones and short texts: enough to measure time, no more."""
    random = np.random.default_rng(_SEED)
    request = {spec.name: _made_up_array(spec, random) for spec in _required(signature)}
    return Samples([request], signature, given=False)


def takes_batches(signature: Signature) -> bool:
    """Whether the first dimension of every input may have any size."""
    required = _required(signature)
    return bool(required) and all(
        spec.shape and not isinstance(spec.shape[0], int) for spec in required
    )


def _required(signature: Signature) -> list[TensorSpec]:
    return [spec for spec in signature.inputs.values() if not spec.optional]


def _made_up_array(spec: TensorSpec, random: np.random.Generator) -> Array:
    shape = [size if isinstance(size, int) else MADE_UP_SIZE for size in spec.shape]
    if spec.shape and not isinstance(spec.shape[0], int):
        shape[0] = 1
    if spec.datatype.kind == "float":
        return random.random(shape).round(2).astype(NUMPY_TYPES[spec.datatype.name])
    if spec.datatype.kind == "bytes":
        return np.full(shape, "text", dtype=object)
    return np.ones(shape, NUMPY_TYPES[spec.datatype.name])


def _from_npz(path: str, signature: Signature) -> list[Request]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    missing = [spec.name for spec in _required(signature) if spec.name not in arrays]
    unknown = [name for name in arrays if name not in signature.inputs]
    if missing or unknown:
        raise NotOptimized(
            f"it holds {_listed(arrays)}, but the model's inputs are {_listed(signature.inputs)};"
            " write it with numpy.savez(path, **{input name: array})"
        )
    cast = {name: _cast(array, signature.inputs[name]) for name, array in arrays.items()}
    return _rows(cast) if takes_batches(signature) else _slices(cast, signature)


def _cast(array: Array, spec: TensorSpec) -> Array:
    wanted = NUMPY_TYPES[spec.datatype.name]
    is_text = array.dtype.kind in "US"
    fits = (
        is_text if spec.datatype.kind == "bytes" else np.can_cast(array.dtype, wanted, "same_kind")
    )
    if not fits:
        raise NotOptimized(f"{spec.name!r} holds {array.dtype}, but the model takes {spec}")
    return array.astype(wanted)


def _slices(arrays: Request, signature: Signature) -> list[Request]:
    """Requests of a model whose first dimension is fixed: arrays are cut along it."""
    sizes = {name: signature.inputs[name].shape[0] for name in arrays if arrays[name].ndim}
    fixed = {name: size for name, size in sizes.items() if isinstance(size, int) and size > 0}
    counts = {len(arrays[name]) // size for name, size in fixed.items()}
    if len(counts) != 1 or fixed.keys() != arrays.keys():
        return [arrays]
    return [
        {name: arrays[name][i * size : (i + 1) * size] for name, size in fixed.items()}
        for i in range(counts.pop())
    ]


def _from_json(path: str, signature: Signature) -> list[Request]:
    with open(path, "rb") as file:
        document = json.loads(file.read())
    bodies = document if isinstance(document, list) else [document]
    form = SimpleForm(signature, model_version="", non_finite="string")
    batches = takes_batches(signature)
    requests: list[Request] = []
    for body in bodies:
        call = form.decode(_as_request(body, signature, batches))
        arrays = {name: to_array(tensor) for name, tensor in call.inputs.items()}
        requests += _rows(arrays) if batches else [arrays]
    return requests


def _as_request(body: Any, signature: Signature, batches: bool) -> Any:
    """``body`` itself, or the request that a record of one row for each input stands for."""
    if not isinstance(body, dict) or "features" in body or "inputs" in body:
        return body
    given = {name: body[name] for name in signature.inputs if name in body}
    return {"inputs": {name: [row] if batches else row for name, row in given.items()}}


def _rows(arrays: Request) -> list[Request]:
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        raise NotOptimized(f"every input must have the same number of rows, got {told}")
    return [
        {name: array[row : row + 1] for name, array in arrays.items()}
        for row in range(next(iter(counts.values()), 1))
    ]


def _stack(requests: list[Request]) -> Request:
    return {name: np.concatenate([r[name] for r in requests]) for name in requests[0]}


def _shapes(request: Request) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape) for name, array in request.items())


def _elements(request: Request) -> int:
    return sum(array.size for array in request.values())


def _listed(names: object) -> str:
    return ", ".join(repr(name) for name in names)  # type: ignore[attr-defined]
