"""The steps that tools of others do, one function each; their chatter is kept from the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import os

import onnx
import onnxruntime as ort

from inference_runtime.engine.options import disable_telemetry
from inference_runtime.optimize import model_file
from inference_runtime.optimize.errors import DoesNotApply, NotOptimized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_MICROSOFT: Final = "com.microsoft"
_LOG_ERRORS: Final = 3  # onnxruntime's severity

disable_telemetry()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries print and log below errors from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(before)


def slim(path: str) -> onnx.ModelProto:
    """The model at ``path`` with constants folded and needless nodes removed."""
    import onnxslim

    original = model_file.read(path)
    with quiet():
        slimmed: onnx.ModelProto = onnxslim.slim(
            onnx.ModelProto.FromString(original.SerializeToString())
        )
    onnx.helper.set_model_props(slimmed, model_file.metadata(original))
    return slimmed


def fuse(path: str, transformer: str) -> onnx.ModelProto:
    """The model at ``path`` with a transformer's attention, GELU and layer norms fused.

    Args:
        path: of the model.
        transformer: the kind, as ``onnxruntime.transformers`` calls it.

    Raises:
        DoesNotApply: there is nothing to fuse.
        NotOptimized: there is no such kind.
    """
    from onnxruntime.transformers.optimizer import MODEL_TYPES, optimize_model

    if transformer not in MODEL_TYPES:  # it would be taken for the default
        raise NotOptimized(
            f"--transformer is {transformer!r}, which is none of {', '.join(MODEL_TYPES)}"
        )
    original = model_file.read(path)
    with quiet():
        # No session of onnxruntime in between: that would tie the graph to this machine's CPU.
        fused: onnx.ModelProto = optimize_model(path, transformer, opt_level=0).model
    if _fused_operators(fused) <= _fused_operators(original):
        raise DoesNotApply(
            f"it has no attention, GELU or layer norm of a {transformer} transformer to fuse"
        )
    if all(opset.domain != _MICROSOFT for opset in fused.opset_import):
        fused.opset_import.append(onnx.helper.make_opsetid(_MICROSOFT, 1))
    onnx.helper.set_model_props(fused, model_file.metadata(original))
    return fused


def optimize_graph(path: str, target: str, *, this_processor: bool = False) -> None:
    """Write the model at ``path`` to ``target`` after onnxruntime's optimisations.

    Args:
        path: of the model.
        target: of the optimised one.
        this_processor: whether to lay convolutions out for this processor's instruction set
            (level ALL). Without, the graph is the same on every processor (level EXTENDED).
            https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html
    """
    levels = ort.GraphOptimizationLevel
    options = _session_options(target)
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if this_processor else levels.ORT_ENABLE_EXTENDED
    )
    if model_file.size(path) >= model_file.EXTERNAL_FROM_BYTES:
        prefix = "session.optimized_model_external_initializers"
        options.add_session_config_entry(f"{prefix}_file_name", os.path.basename(target) + ".data")
        options.add_session_config_entry(
            f"{prefix}_min_size_in_bytes", str(model_file.EXTERNAL_TENSOR_BYTES)
        )
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def to_ort_format(path: str, target: str) -> None:
    """Write the optimised model at ``path`` to ``target`` in onnxruntime's own format.

    https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html
    """
    options = _session_options(target)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def has_operator(model: onnx.ModelProto, *parts: str) -> bool:
    """Whether an operator's name has one of ``parts`` in it."""
    return any(part in node.op_type for node in model.graph.node for part in parts)


def _session_options(target: str) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.optimized_model_filepath = target
    options.intra_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS
    return options


def _fused_operators(model: onnx.ModelProto) -> int:
    return sum(node.domain == _MICROSOFT for node in model.graph.node)
