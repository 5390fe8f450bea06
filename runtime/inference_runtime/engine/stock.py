"""The engine over the ``onnxruntime`` package, which comes with numpy."""

from __future__ import annotations

from inference_runtime.engine.failures import load_failure, run_failure
from inference_runtime.engine.labels import CLASS_LABELS, column_labels, parse_labels
from inference_runtime.engine.options import (
    DEFAULT_OPTIONS,
    INTER_OP_THREADS,
    LOG_ERRORS,
    LOG_OF_RUNS,
    disable_telemetry,
)
from inference_runtime.engine.providers import runs_on_gpu
from inference_runtime.errors import ModelNotLoaded
from inference_runtime.signature import Signature, TensorSpec
from inference_runtime.telemetry import log
from inference_runtime.tensor import BF16, DATATYPES, FP32, Tensor

disable_telemetry()

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402

ort.set_default_logger_severity(LOG_ERRORS)

from inference_runtime.arrays import to_array, to_tensor  # noqa: E402
from inference_runtime.engine.binding import FAILED_RUN, BoundSession, obstacle  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from inference_runtime.engine import Cancellation
    from inference_runtime.engine.options import LoadOptions
    from inference_runtime.engine.providers import Providers
    from inference_runtime.tensor import Label

_DATATYPES = {
    "tensor(bool)": "BOOL", "tensor(string)": "BYTES",
    "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32", "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8", "tensor(int16)": "INT16",
    "tensor(int32)": "INT32", "tensor(int64)": "INT64",
    "tensor(float16)": "FP16", "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32", "tensor(double)": "FP64",
}  # fmt: skip
_ZIPMAPS = frozenset({"seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))"})


class StockEngine:
    """A session of the ``onnxruntime`` package.

    The graph is optimised at load. A classifier's class labels come from a ZipMap's keys or from
    the model's metadata property ``class_labels``, a JSON list.

    Args:
        path: the ONNX file; external data are found beside it.
        threads: threads of one run.
        options: how the session is made.
        providers: what it runs on. Default: the CPU.

    Raises:
        ModelNotLoaded: the file cannot be read or is no model that can be served, or not by
            ``providers``; the message says which and why.
    """

    def __init__(
        self,
        path: str,
        threads: int,
        options: LoadOptions = DEFAULT_OPTIONS,
        providers: Providers | None = None,
    ) -> None:
        try:
            self._session = _open_session(path, threads, options, providers)
        except ModelNotLoaded:
            raise
        except Exception as error:
            raise load_failure(path, _failure(error)[1]) from error
        self.signature = _signature(self._session, path)
        self._labels = _metadata_labels(self._session, path)
        self._run = self._choose_run(path)

    def run(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        cancellation: Cancellation | None = None,
    ) -> dict[str, Tensor]:
        """Run the model once; see ``Engine.run``."""
        options = ort.RunOptions()
        options.log_severity_level = LOG_OF_RUNS
        if cancellation is not None:
            cancellation.attach(lambda: setattr(options, "terminate", True))
        names = list(dict.fromkeys(outputs))
        feed = {name: to_array(tensor) for name, tensor in inputs.items()}
        try:
            values = self._run(names, feed, options)
        except Exception as error:  # onnxruntime's exceptions have no common base below it
            raise run_failure(*_failure(error), cancellation) from error
        return {
            name: self._to_tensor(value, name) for name, value in zip(names, values, strict=True)
        }

    def _choose_run(self, path: str) -> Callable[..., Sequence[Any]]:
        """Bound runs on a GPU, and for bfloat16, which numpy does not have."""
        specs = (*self.signature.inputs.values(), *self.signature.outputs.values())
        has_bfloat16 = any(spec.datatype is BF16 for spec in specs)
        unbound: Callable[..., Sequence[Any]] = self._session.run
        if not has_bfloat16 and not runs_on_gpu(self._session):
            return unbound
        reason = obstacle(self._session)
        if not reason:
            return BoundSession(self._session).run
        if has_bfloat16:
            raise ModelNotLoaded(f"{path} cannot be served: it has bfloat16, and {reason}")
        log("INFO", "inputs and outputs are not bound", model_path=path, reason=reason)
        return unbound

    def _to_tensor(self, value: Any, name: str) -> Tensor:
        datatype = self.signature.outputs[name].datatype
        if isinstance(value, list):
            return _zipmap_tensor(value)
        return to_tensor(value, datatype, column_labels(self._labels, datatype, value.shape))


def _open_session(
    path: str, threads: int, options: LoadOptions, providers: Providers | None
) -> ort.InferenceSession:
    def make(chosen: Sequence[Any], config: Mapping[str, str]) -> ort.InferenceSession:
        session_options = _session_options(threads, options)
        for key, value in config.items():
            session_options.add_session_config_entry(key, value)
        # The package's own fall-back prints, and would go on without the GPU after one failed run.
        return ort.InferenceSession(path, session_options, providers=chosen, enable_fallback=0)

    if providers is None:
        return make(["CPUExecutionProvider"], {})
    return providers.open_session(path, threads, ort.get_available_providers(), make)


def _session_options(threads: int, options: LoadOptions) -> ort.SessionOptions:
    session = ort.SessionOptions()
    session.graph_optimization_level = ort.GraphOptimizationLevel(options.graph_level)
    session.log_severity_level = LOG_ERRORS
    session.enable_cpu_mem_arena = options.arena
    session.intra_op_num_threads = threads
    session.inter_op_num_threads = INTER_OP_THREADS
    for key, value in options.session_config.items():
        session.add_session_config_entry(key, value)
    return session


def _signature(session: ort.InferenceSession, path: str) -> Signature:
    required = [_spec(node, path) for node in session.get_inputs()]
    optional = [_spec(node, path, optional=True) for node in session.get_overridable_initializers()]
    outputs = [_spec(node, path, zipmap=True) for node in session.get_outputs()]
    return Signature(required + optional, outputs)


def _spec(node: Any, path: str, *, optional: bool = False, zipmap: bool = False) -> TensorSpec:
    if zipmap and node.type in _ZIPMAPS:
        return TensorSpec(node.name, FP32, [None, None])
    if node.type not in _DATATYPES:
        raise ModelNotLoaded(
            f"{path} cannot be served: {node.name!r} is a {node.type}; inputs and outputs must be"
            " tensors of numbers, booleans or strings, or a classifier's ZipMap output"
        )
    datatype = DATATYPES[_DATATYPES[node.type]]
    return TensorSpec(node.name, datatype, node.shape, optional=optional)


def _metadata_labels(session: ort.InferenceSession, path: str) -> list[Label] | None:
    text = session.get_modelmeta().custom_metadata_map.get(CLASS_LABELS)
    return None if text is None else parse_labels(text, path)


def _failure(error: Exception) -> tuple[str, str]:
    """onnxruntime's name of an error, and its text without the prefix that tells the same, as in
    ``[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : ``.
    """
    text = str(error)
    if text.startswith("[ONNXRuntimeError]"):
        return type(error).__name__, text.split(" : ", 3)[-1]
    if text.startswith(FAILED_RUN):
        return "Fail", text.removeprefix(FAILED_RUN)
    return type(error).__name__, text


def _zipmap_tensor(rows: list[dict[Label, float]]) -> Tensor:
    """A ZipMap's rows as one tensor: its keys are the labels of the columns."""
    labels: list[Label] = list(rows[0]) if rows else []
    scores = np.array([list(row.values()) for row in rows], dtype="<f4")
    return Tensor(FP32, (len(rows), len(labels)), scores.data, labels)
