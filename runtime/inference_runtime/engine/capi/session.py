"""One model in a session of the C library."""

from __future__ import annotations

import os
from ctypes import (
    byref,
    c_char_p,
    c_int,
    c_int64,
    c_size_t,
    c_void_p,
    sizeof,
    string_at,
)
from functools import partial
from math import prod
from time import perf_counter

from inference_runtime.engine.capi import NeedsStockEngine
from inference_runtime.engine.capi.library import Handle, Library, OrtFailure, load_library
from inference_runtime.engine.capi.mapping import MappedFile
from inference_runtime.engine.capi.prepared import PreparedRun, PreparedRuns, form_of
from inference_runtime.engine.capi.values import (
    ELEMENT_TYPES,
    c_names,
    put,
    run_options,
    strings_of,
)
from inference_runtime.engine.failures import load_failure, run_failure
from inference_runtime.engine.labels import CLASS_LABELS, column_labels, parse_labels
from inference_runtime.engine.options import DEFAULT_OPTIONS, INTER_OP_THREADS, ORT_SUFFIX
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.tensor import BYTES, DATATYPES, Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference_runtime.engine import Cancellation
    from inference_runtime.engine.capi.prepared import Form
    from inference_runtime.engine.options import LoadOptions
    from inference_runtime.engine.weights import Weight, Weights
    from inference_runtime.signature import Dimension
    from inference_runtime.tensor import Label

_DENSE_TENSOR = 1  # ONNXType
# The session takes graph and weights from where the file is mapped, instead of copying both.
_MAPPED_CONFIG = {
    "session.use_ort_model_bytes_directly": "1",
    "session.use_ort_model_bytes_for_initializers": "1",
}
_DEVICE_ALLOCATOR, _DEFAULT_MEMORY = 0, 0  # OrtAllocatorType, OrtMemType
_POINTER_BYTES = sizeof(c_void_p)


class CapiEngine:
    """A session of the C library on the CPU, for models whose inputs and outputs are tensors.

    Options, error texts and class labels are those of the stock engine, and so are the answers,
    bit for bit.

    Args:
        path: the ONNX file, whose external data are found beside it; or a file in onnxruntime's
            own format, ``.ort``, which is mapped instead of read.
        threads: threads of one run.
        options: how the session is made.

    Raises:
        NeedsStockEngine: the library is not here or not of a tested version, or the model takes
            or gives sequences, maps or optional values.
        ModelNotLoaded: the file cannot be read or is no model.
    """

    def __init__(self, path: str, threads: int, options: LoadOptions = DEFAULT_OPTIONS) -> None:
        mapped = _mapped(path, threads, options.weights)  # while the library initialises
        self._library = library = load_library()
        self._memory = library.make(
            library.CreateCpuMemoryInfo, library.ReleaseMemoryInfo,
            _DEVICE_ALLOCATOR, _DEFAULT_MEMORY,
        )  # fmt: skip
        try:
            self._session = _open_session(library, self._memory, path, mapped, threads, options)
        except OrtFailure as failure:
            raise load_failure(path, str(failure)) from failure
        self._unended = run_options(library)  # of all runs that nobody ends
        self._idle_options: list[Handle] = []
        self._prepared = PreparedRuns(partial(PreparedRun, library, self._session, self._memory))
        self.signature = _signature(library, self._session)
        self._labels = _metadata_labels(library, self._session, path)

    def run(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        cancellation: Cancellation | None = None,
    ) -> dict[str, Tensor]:
        """Run the model once; see ``Engine.run``."""
        form = form_of(inputs, outputs)
        try:
            prepared = self._prepared.take(form)
            if prepared is None:
                return self._run_anew(form, inputs, cancellation)
            return self._run_prepared(prepared, form, inputs, cancellation)
        except OrtFailure as failure:
            raise run_failure(failure.name, str(failure), cancellation) from failure

    def _run_anew(
        self, form: Form, inputs: Mapping[str, Tensor], cancellation: Cancellation | None
    ) -> dict[str, Tensor]:
        _, _, outputs = form
        start = perf_counter()
        if cancellation is None:
            results = self._run(inputs, outputs, self._unended)
        else:
            results = self._run_cancellable(inputs, outputs, cancellation)
        self._prepared.learn(form, inputs, results, perf_counter() - start)
        return results

    def _run_prepared(
        self,
        prepared: PreparedRun,
        form: Form,
        inputs: Mapping[str, Tensor],
        cancellation: Cancellation | None,
    ) -> dict[str, Tensor]:
        try:
            results = prepared.run(inputs, cancellation)
        except OrtFailure:
            if cancellation is not None and cancellation.reason is not None:
                raise
            self._prepared.put_back(form, prepared)
            # It is the inputs', or the outputs have other shapes this time: without, it shows.
            results = self._run_anew(form, inputs, cancellation)
            self._prepared.fail(form)
        else:
            if cancellation is None or cancellation.reason is None:  # else it ends the next, too
                self._prepared.put_back(form, prepared)
        return results

    def _run_cancellable(
        self, inputs: Mapping[str, Tensor], outputs: Sequence[str], cancellation: Cancellation
    ) -> dict[str, Tensor]:
        library = self._library
        options = self._run_options()
        cancellation.attach(lambda: library.RunOptionsSetTerminate(options))
        try:
            return self._run(inputs, outputs, options)
        finally:
            cancellation.detach()
            if cancellation.reason is None:  # else they would end the next run, too
                self._idle_options.append(options)

    def _run_options(self) -> Handle:
        """Some that no run uses: to make them anew takes as long as a small model's run."""
        try:
            return self._idle_options.pop()
        except IndexError:
            return run_options(self._library)

    def _run(
        self, inputs: Mapping[str, Tensor], outputs: Sequence[str], options: Handle
    ) -> dict[str, Tensor]:
        inputs_count, outputs_count = len(inputs), len(outputs)
        values = (c_void_p * (inputs_count + outputs_count))()
        kept = []  # until the run is over: values point into it
        try:
            for index, tensor in enumerate(inputs.values()):
                place = byref(values, index * _POINTER_BYTES)
                kept.append(put(self._library, self._memory, tensor, place))
            self._library.Run(
                self._session, options,
                c_names(tuple(inputs)), values, inputs_count,
                c_names(tuple(outputs)), outputs_count,
                byref(values, inputs_count * _POINTER_BYTES),
            )  # fmt: skip
            results = values[inputs_count:]
            return {n: self._tensor(v, n) for n, v in zip(outputs, results, strict=True)}
        finally:
            for value in values:
                self._library.ReleaseValue(value)

    def _tensor(self, value: int | None, name: str) -> Tensor:
        """A copy of the library's ``value``, which is released after the run."""
        library = self._library
        datatype = self.signature.outputs[name].datatype
        pointer = c_void_p()
        library.GetTensorTypeAndShape(value, byref(pointer))
        try:
            shape = _dimensions(library, pointer)
        finally:
            library.ReleaseTensorTypeAndShapeInfo(pointer)
        if datatype is BYTES:
            return Tensor(BYTES, shape, strings_of(library, value, prod(shape)))
        library.GetTensorMutableData(value, byref(pointer))
        data = string_at(pointer, prod(shape) * datatype.itemsize)
        return Tensor(datatype, shape, data, column_labels(self._labels, datatype, shape))


def _open_session(
    library: Library,
    memory: Handle,
    path: str,
    mapped: MappedFile | None,
    threads: int,
    load: LoadOptions,
) -> Handle:
    is_graph = mapped is not None and mapped.path == path
    config = load.session_config | (_MAPPED_CONFIG if is_graph else {})
    with library.make(library.CreateSessionOptions, library.ReleaseSessionOptions) as options:
        library.SetSessionGraphOptimizationLevel(options, load.graph_level)
        library.SetIntraOpNumThreads(options, threads)
        library.SetInterOpNumThreads(options, INTER_OP_THREADS)
        if not load.arena:
            library.DisableCpuMemArena(options)
        for key, value in config.items():
            library.AddSessionConfigEntry(options, key.encode(), value.encode())
        values: list[Handle] = []
        if mapped is not None and is_graph:
            session = library.get(
                c_void_p, library.CreateSessionFromArray,
                library.env, mapped.address, mapped.size, options,
            )  # fmt: skip
        else:
            if mapped is not None and load.weights is not None:
                values = _give_weights(library, memory, options, mapped, load.weights)
            session = library.get(
                c_void_p, library.CreateSession, library.env, os.fsencode(path), options
            )
        return Handle(session, library.ReleaseSession, needs=(values, mapped))


def _give_weights(
    library: Library, memory: Handle, options: Handle, mapped: MappedFile, weights: Weights
) -> list[Handle]:
    """Have a session take its weights from where they are mapped; values that it needs as long."""
    values = []
    for weight in weights.tensors:
        value = _value(library, memory, mapped, weight)
        library.AddInitializer(options, weight.name.encode(), value)
        values.append(value)
    return values


def _mapped(path: str, threads: int, weights: Weights | None) -> MappedFile | None:
    """What is used in place: the file, if it is in onnxruntime's format, or that of its weights.

    Any other file the library reads by its path.
    """
    is_graph = path.endswith(ORT_SUFFIX)
    if not is_graph and weights is None:
        return None
    file = path if weights is None else os.path.join(os.path.dirname(path), weights.file)
    try:
        mapped = MappedFile(file)
    except OSError as error:
        raise load_failure(path, str(error)) from error
    # On a single processor nothing is gained: the first run maps what it needs, and no more.
    if threads > 1:
        mapped.bring([(0, mapped.size)] if weights is None else weights.dense_parts())
    return mapped


def _value(library: Library, memory: Handle, mapped: MappedFile, weight: Weight) -> Handle:
    """A value whose elements stay where they are mapped."""
    if weight.offset + weight.size > mapped.size:
        raise OrtFailure("InvalidGraph", f"{mapped.path} ends before the weight {weight.name!r}")
    sizes = (c_int64 * len(weight.shape))(*weight.shape)
    return library.make(
        library.CreateTensorWithDataAsOrtValue, library.ReleaseValue,
        memory, mapped.address + weight.offset, weight.size,
        sizes, len(weight.shape), weight.element_type,
    )  # fmt: skip


def _signature(library: Library, session: Handle) -> Signature:
    return Signature(
        [
            *_specs(library, session, "Input"),
            *_specs(library, session, "OverridableInitializer", optional=True),
        ],
        _specs(library, session, "Output"),
    )


def _specs(
    library: Library, session: Handle, role: str, *, optional: bool = False
) -> list[TensorSpec]:
    """What the session declares of its values in ``role``, which is part of the C names."""
    count = library.get(c_size_t, getattr(library, f"SessionGet{role}Count"), session)
    get_name = getattr(library, f"SessionGet{role}Name")
    get_type = getattr(library, f"SessionGet{role}TypeInfo")
    specs = []
    for index in range(count):
        name = library.text(get_name, session, index, library.allocator)
        with library.make(get_type, library.ReleaseTypeInfo, session, index) as type_info:
            specs.append(_spec(library, str(name), type_info, optional))
    return specs


def _spec(library: Library, name: str, type_info: Handle, optional: bool) -> TensorSpec:
    # Owned by `type_info`; none where the value is neither a dense nor a sparse tensor.
    info = library.get(c_void_p, library.CastTypeInfoToTensorInfo, type_info)
    is_dense = library.get(c_int, library.GetOnnxTypeFromTypeInfo, type_info) == _DENSE_TENSOR
    number = library.get(c_int, library.GetTensorElementType, info) if is_dense else None
    if number not in ELEMENT_TYPES:
        raise NeedsStockEngine(f"{name!r} is no tensor of numbers, booleans or strings")
    datatype = DATATYPES[ELEMENT_TYPES[number]]
    return TensorSpec(name, datatype, _declared_shape(library, info), optional=optional)


def _declared_shape(library: Library, info: int) -> list[Dimension]:
    sizes = _dimensions(library, info)
    symbols = (c_char_p * len(sizes))()
    library.GetSymbolicDimensions(info, symbols, len(sizes))
    return [
        size if size >= 0 else (symbol or b"").decode() or None
        for size, symbol in zip(sizes, symbols, strict=True)
    ]


def _dimensions(library: Library, info: c_void_p | int) -> list[int]:
    rank = c_size_t()
    library.GetDimensionsCount(info, byref(rank))
    sizes = (c_int64 * rank.value)()
    library.GetDimensions(info, sizes, rank)
    return list(sizes)


def _metadata_labels(library: Library, session: Handle, path: str) -> list[Label] | None:
    with library.make(
        library.SessionGetModelMetadata, library.ReleaseModelMetadata, session
    ) as metadata:
        text = library.text(
            library.ModelMetadataLookupCustomMetadataMap,
            metadata, library.allocator, CLASS_LABELS.encode(),
        )  # fmt: skip
    return None if text is None else parse_labels(text, path)
